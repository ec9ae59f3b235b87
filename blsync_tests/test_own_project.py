"""A folder of the user's own models, laws, proposals and entities is a part of the project."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow.dataset as ds
import pytest
from conftest import Asked, Reply, listed, serving
from rig.commands import pull
from rig.warm import PYTHON
from test_cli import Done, blsync, call, environment, said_once  # noqa: F401 (a fixture)

from blsync import marts
from blsync.entities import ENTITIES
from blsync.errors import ConfigError
from blsync.marts import overlay
from blsync.sandbox import Options, running
from blsync.settings import Settings

EXAMPLE = Path(__file__).parent.parent / "examples/project"
GADGETS = """
from datetime import datetime
from blsync.entity import Entity, Key, Record

class Gadget(Record):
    id: Key
    name: str | None = None
    updated_at: datetime | None = None

ENTITY = Entity(
    name="gadgets", model=Gadget, path="/gadgets", description="Gadgets.", scope="read:items"
)
"""
Call = Callable[..., Done]


def written(folder: Path, **files: str) -> Path:
    """Write files into a folder of a project; `__` in a name stands for a slash."""
    for name, text in files.items():
        stem, _, kind = name.replace("__", "/").rpartition("_")
        path = folder / f"{stem}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with one entity."""
    return written(tmp_path / "own", entities__gadgets_py=GADGETS)


def test_a_project_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path,
    call: Call,  # noqa: F811
) -> None:
    for name in ("empty", "of_dbt/models", "open/models"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "of_dbt/dbt_project.yml").write_text("name: mine\n")
    (tmp_path / "open/models").chmod(0o777)
    for name, why in {
        "missing": "there is no folder",
        "empty": "has none of the folders entities, macros, models, tests",
        "of_dbt": "is a dbt project of its own",
        "open": "others can write into",
    }.items():
        project = str(tmp_path / name)
        env = environment(tmp_path / "data", "http://127.0.0.1:9/v1", BLSYNC_PROJECT=project)
        done = call("status", env=env)
        assert done.returncode == 2
        assert why in said_once(done)
        assert project in done.stderr


@pytest.mark.parametrize(
    ("text", "why"),
    {
        "syntax": ("def", "SyntaxError"),
        "fails": ("\n\n1 / 0", r"ZeroDivisionError: division by zero (line 3)"),
        "nothing": ("", "has no ENTITY"),
        "other": ("ENTITY = 7", "ENTITY is no blsync.entity.Entity but 7"),
        "taken": (GADGETS.replace('"gadgets"', '"customers"'), "already"),
        "spelt": (GADGETS.replace('"gadgets"', '"My/Gadgets"'), "lower-case"),
        "unkeyed": (GADGETS.replace("id: Key", "number: Key"), "the model has no field id"),
        "unfed": (GADGETS.replace("updated_at", "changed_at"), "no field updatedAt"),
        "untyped": (GADGETS.replace("str | None", "complex | None"), "cannot be typed"),
    }.values(),
)
def test_a_file_that_holds_no_usable_entity_is_named(
    text: str,
    why: str,
    tmp_path: Path,
    call: Call,  # noqa: F811
) -> None:
    project = written(tmp_path / "own", entities__gadgets_py=text)
    env = environment(tmp_path / "data", "http://127.0.0.1:9/v1", BLSYNC_PROJECT=str(project))
    done = call("status", env=env)
    assert done.returncode == 2
    assert why in said_once(done)
    assert "own/entities/gadgets.py" in done.stderr


def test_an_entity_of_a_folder_is_pulled_and_lands(
    configure: Callable[..., Settings], folder: Path, tmp_path: Path
) -> None:
    def answer(asked: Asked) -> Reply:
        return listed([{"id": "g1", "name": "One", "updatedAt": "2026-01-05T00:00:00Z"}])

    with serving(answer) as server:
        given = configure(
            server,
            BLSYNC_DATA=str(tmp_path / "data"),
            BLSYNC_PROJECT=str(folder),
            BLSYNC_START="2026-01-01",
        )
        results = pull(given, given.companies()[0], [ENTITIES["gadgets"]])
        assert (results["gadgets"].error, results["gadgets"].rows) == (None, 1)
        assert {asked.path for asked in server.asked} >= {"/gadgets"}
    landing = ds.dataset(tmp_path / "data/landing/gadgets/company_id=company_tiny")
    assert landing.to_table(["id", "name"]).to_pylist() == [{"id": "g1", "name": "One"}]
    assert marts.strays_of(given) == []
    assert list(ENTITIES) == sorted(ENTITIES)


def test_a_package_can_offer_an_entity(tmp_path: Path) -> None:
    (tmp_path / "gadget_shop.py").write_text(GADGETS)
    about = tmp_path / "gadget_shop-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: gadget-shop\nVersion: 1.0\n")
    points = about / "entry_points.txt"
    code = "from blsync.entities import ENTITIES; print('gadgets' in list(ENTITIES))"
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "BLSYNC_ENV_FILE": os.devnull}

    def found(target: str) -> subprocess.CompletedProcess[str]:
        points.write_text(f"[blsync.entities]\ngadgets = {target}\n")
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    assert found("gadget_shop:ENTITY").stdout == "True\n"
    broken = found("gadget_shop:NOTHING").stderr
    assert "gadgets = gadget_shop:NOTHING of gadget-shop" in broken
    assert "cannot be loaded: AttributeError" in broken


@pytest.mark.parametrize(
    ("files", "why"),
    {
        "ours": (
            {"models__invoices_sql": "select 1"},
            "models/invoices.sql: the name invoices is taken",
        ),
        "law": (
            {"tests__periods_are_contiguous_sql": "select 1"},
            "the name periods_are_contiguous is taken",
        ),
        "twice": (
            {"models__a__one_sql": "select 1", "models__b__one_sql": "select 1"},
            "models/b/one.sql: the name one is taken",
        ),
        "python": ({"models__one_py": "x = 1"}, "models are written in SQL"),
        "history": ({"models__history__hist_things_sql": "select 1"}, "there is no entity things"),
        "staging": ({"models__history__hist_gadgets_sql": "select 1"}, "stg_gadgets.sql"),
        "place": ({"models__hist_gadgets_sql": "select 1"}, "belong into models/history/"),
    }.values(),
)
def test_a_name_that_is_taken_or_means_nothing_is_refused_before_dbt_reads_it(
    files: dict[str, str], why: str, folder: Path, tmp_path: Path, environment_of_own: None
) -> None:
    written(folder, **files)
    with pytest.raises(ConfigError) as refused:
        marts.write_packages(folder, tmp_path / "packages")
    assert why in str(refused.value)
    assert str(folder) in str(refused.value)


@pytest.fixture
def environment_of_own(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("BLSYNC_PROJECT", str(folder))


def test_what_dbt_says_of_a_broken_model_is_told_with_its_file_and_without_its_form(
    folder: Path,
) -> None:
    written(folder, models__things_sql="select 1")
    said = "Compilation Error in model things (models/things.sql)\n  unexpected '}'\n    line 3\n"
    said += "\n  > in macro x\n  > called by model things (models/things.sql)\n"
    error = overlay.not_compiled(folder, said)
    assert error.exit_code == 2
    assert str(error).startswith(f"{folder}/models/things.sql (of BLSYNC_PROJECT) cannot be ")
    assert "unexpected '}' line 3. Mend the file" in str(error)
    ours = "Compilation Error in model invoices (models/marts/receivables/invoices.sql)\n  x"
    assert overlay.not_compiled(folder, ours).exit_code == 1


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a company that has synced once with the project of the examples."""
    base = tmp_path_factory.mktemp("own")
    shutil.copytree(EXAMPLE, base / "project")
    with running(Options(invoices=60, customers=15, items=12, months=3, limits=False)) as server:
        env = environment(base / "data", server.base_url, BLSYNC_PROJECT=str(base / "project"))
        done = blsync("sync", "--json", env=env)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["entities"]["payees"]["rows"] > 0
        yield env


def asked(env: dict[str, str], sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(Path(env["BLSYNC_DATA"]) / "blsync.duckdb"), read_only=True) as db:
        return db.execute(sql).fetchall()


@pytest.mark.deep
def test_own_models_entities_and_proposals_are_built_compared_published_and_planned(
    own: dict[str, str],
) -> None:
    [(payees, suppliers)] = asked(
        own,
        "select (select count(*) from own.owed_to_payees), count(*) from finance.suppliers",
    )
    assert payees == suppliers > 0
    assert asked(own, "select count(*) from history.payees where is_latest") == [(payees,)]
    assert asked(
        own,
        "select mart_value, status from finance.reconciliation where entity_key = 'payees:records'",
    ) == [(payees, "pass")]
    [(comment,)] = asked(
        own, "select comment from duckdb_tables() where table_name = 'owed_to_payees'"
    )
    assert comment.startswith("Grain: payee.")
    view = "push_customers_payment_terms"
    planned = blsync("push", "plan", "customers", "--from-view", view, "--json", env=own)
    assert planned.returncode == 0, planned.stderr
    [(proposed,)] = asked(own, f"select count(*) from proposals.{view}")
    assert json.loads(planned.stdout)["counts"]["update"] == proposed > 0
    status = json.loads(blsync("status", "--json", env=own).stdout)
    assert "payees" in json.dumps(status)


LINEAGE = """
import json
import dagster as dg
from blsync.definitions import defs

graph = defs.resolve_asset_graph()
key = dg.AssetKey(["own", "owed_to_payees"])
print(json.dumps({
    "parents": sorted(k.to_user_string() for k in graph.get(key).parent_keys),
    "of_staging": sorted(
        k.to_user_string() for k in graph.get(dg.AssetKey(["history", "payees"])).parent_keys
    ),
    "laws": sorted(k.name for k in graph.asset_check_keys if k.asset_key == key),
    "raw": graph.has(dg.AssetKey(["raw", "payees"])),
    "proposal": graph.has(dg.AssetKey(["proposals", "push_customers_payment_terms"])),
}))
"""


@pytest.mark.deep
def test_own_models_are_in_the_lineage_and_own_laws_are_checks_of_their_tables(
    own: dict[str, str],
) -> None:
    done = subprocess.run(
        [PYTHON, "-c", LINEAGE], env=own, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {"staging/stg_payees", "finance/ap_open_items"} <= {*found["parents"]}
    assert found["of_staging"] == ["raw/payees"]
    assert "all_that_is_owed_is_owed_to_a_payee" in found["laws"]
    assert found["raw"]
    assert found["proposal"]


@pytest.mark.deep
@pytest.mark.parametrize(
    ("meta", "told"),
    [
        ('{"ref": {"name": "no_such_model"}}', "there is no such model in the package own"),
        ('{"ref": "owed_to_payees"}', "`ref: {name: …}` names the model"),
    ],
)
def test_a_law_that_is_a_check_of_nothing_is_refused_with_what_to_write(
    own: dict[str, str], tmp_path: Path, meta: str, told: str
) -> None:
    project = shutil.copytree(own["BLSYNC_PROJECT"], tmp_path / "project")
    law = "{{ config(meta={'dagster': META}) }} select 1 from {{ ref('owed_to_payees') }}"
    written(project, tests__a_law_sql=law.replace("META", meta))
    done = blsync("sync", "--json", env=own | {"BLSYNC_PROJECT": str(project)})
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.deep
def test_own_models_are_in_the_documentation(own: dict[str, str]) -> None:
    done = blsync("docs", env=own)
    assert done.returncode == 0, done.stderr
    page = (Path(own["BLSYNC_DATA"]) / "docs/index.html").read_text()
    assert "model.own.owed_to_payees" in page
    assert "Whom the company pays, and in which currency." in page


@pytest.mark.deep
def test_a_broken_law_or_model_of_ones_own_stops_publishing_and_its_file_is_named(
    own: dict[str, str],
) -> None:
    project, data = Path(own["BLSYNC_PROJECT"]), Path(own["BLSYNC_DATA"])
    published = (data / "blsync.duckdb").stat()
    model = project / "models/owed_to_payees.sql"
    good = model.read_text()
    law = project / "tests/nobody_is_owed_anything.sql"
    law.write_text("select payee_id from {{ ref('owed_to_payees') }} where open_amount > 0")
    written(project, models__wrong_sql="select nothing_there from {{ ref('stg_payees') }}")
    written(project, models__later_sql="select 1 as one")
    promised = "models: [{name: later, config: {contract: {enforced: true}}, columns: "
    written(project, models__later_yml=promised + "[{name: one, data_type: VARCHAR}]}]")
    done = blsync("build", env=own)
    assert done.returncode == 1
    assert f"nobody_is_owed_anything ({law}): payee_id " in said_once(done)
    assert f"wrong ({project}/models/wrong.sql): Binder Error" in said_once(done)
    assert f"later ({project}/models/later.sql): the contract in its yml is broken: one is" in (
        done.stderr
    )
    law.unlink()
    (project / "models/later.yml").unlink()
    (project / "models/wrong.sql").unlink()
    (project / "models/later.sql").unlink()
    model.write_text(good + "\n-- {{ ref('nothing_there') }}")
    done = blsync("build", env=own)
    assert done.returncode == 2
    assert f"{model} (of BLSYNC_PROJECT) cannot be compiled" in said_once(done)
    assert "depends on a node named 'nothing_there' which was not found" in done.stderr
    assert (data / "blsync.duckdb").stat().st_ino == published.st_ino
    model.write_text(good.replace("companies.currency,", "companies.currency, 1 as documents,"))
    done = blsync("build", env=own)
    assert done.returncode == 0, done.stderr
    assert "others have no news and stay as they are" in done.stderr  # ours were not built anew
    assert asked(own, "select count(documents) > 0 from own.owed_to_payees") == [(True,)]
    left = asked(own, "select table_name from duckdb_tables() where schema_name = 'own'")
    assert left == [("owed_to_payees",)]
