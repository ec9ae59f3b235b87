"""The manifests: Kubernetes' schemas know each field, and every container is closed."""

from __future__ import annotations

import copy
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from rig import deployed

from blsync.files.places import ROOT

pytestmark = [
    pytest.mark.scale,
    pytest.mark.skipif(not shutil.which("kubectl"), reason="there is no kubectl on PATH"),
]

FOLDER = ROOT / "deploy/kubernetes"
OVERLAYS = ("bucket", "volume")
SECRETS = {
    "blsync.env": "BIGLEDGER_API_KEY=key\nBIGLEDGER_COMPANY_ID=acme\n",
    "database.env": "PGHOST=db.internal\nPGUSER=blsync\nPGPASSWORD=word\nPGSSLMODE=require\n",
    "ui_token": "t" * 43,
}
VERSION = "1.32"
"""Of the schemas: older than most clusters, so nothing newer is used."""
Document = dict[str, Any]


def validate(document: Any) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    kubernetes_validate.validate(document, VERSION, strict=True)


@pytest.fixture(scope="module")
def overlays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Document]]:
    """What `kubectl kustomize` makes of each overlay, with the files that the operator adds."""
    folder = tmp_path_factory.mktemp("manifests") / "kubernetes"
    shutil.copytree(FOLDER, folder)
    made = {}
    for name in OVERLAYS:
        for secret, text in SECRETS.items():
            (folder / name / "secrets" / secret).write_text(text)
        command = ["kubectl", "kustomize", str(folder / name)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        made[name] = list(yaml.safe_load_all(done.stdout))
    return made


@pytest.fixture(params=OVERLAYS)
def documents(
    request: pytest.FixtureRequest, overlays: dict[str, list[Document]]
) -> list[Document]:
    found: list[Document] = overlays[request.param]
    return found


def named(documents: list[Document], kind: str) -> dict[str, Document]:
    return {d["metadata"]["name"]: d for d in documents if d["kind"] == kind}


def instance(documents: list[Document]) -> dict[str, Any]:
    """The shipped dagster.yaml of an overlay."""
    found = named(documents, "ConfigMap")["blsync-instance"]["data"]["dagster.yaml"]
    return dict(yaml.safe_load(found))


def run_job(documents: list[Document], monkeypatch: pytest.MonkeyPatch, home: Path) -> Document:
    """The job that Dagster's launcher makes of the shipped dagster.yaml for a run."""
    from dagster import DagsterRun
    from dagster._core.instance.ref import InstanceRef
    from dagster_k8s import launcher as module
    from dagster_k8s.job import construct_dagster_k8s_job
    from kubernetes.client import ApiClient

    monkeypatch.setenv("KUBERNETES_NAMESPACE", "blsync")
    # It reads where the cluster is, which is told in a pod alone.
    monkeypatch.setattr(module, "load_kubernetes_config", lambda **_: None)
    told: Any = instance(documents)
    launcher: Any = InstanceRef.from_dir(str(home), overrides=told).run_launcher
    context = launcher.get_container_context_for_run(DagsterRun(job_name="nightly", run_id="run"))
    assert context.namespace == "blsync"
    made = construct_dagster_k8s_job(
        job_config=context.get_k8s_job_config(job_image="registry/blsync:1", run_launcher=launcher),
        args=["dagster", "api", "execute_run"],
        job_name="run",
        component="run_worker",
        user_defined_k8s_config=context.run_k8s_config,
    )
    return dict(ApiClient().sanitize_for_serialization(made))


def pods(documents: list[Document]) -> dict[str, Document]:
    """The pod templates of what runs all the time."""
    return {n: d["spec"]["template"] for n, d in named(documents, "Deployment").items()}


def values(found: Any, key: str) -> Iterator[Any]:
    """Every value of a key, at any depth."""
    if isinstance(found, Mapping):
        yield from [found[key]] if key in found else []
        for inner in found.values():
            yield from values(inner, key)
    elif isinstance(found, list):
        for inner in found:
            yield from values(inner, key)


def check_pod(template: Document) -> None:
    spec = template["spec"]
    context = spec["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] == 10001
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["enableServiceLinks"] is False
    held = {volume["name"] for volume in spec["volumes"]}
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {mount["name"] for mount in container["volumeMounts"]} <= held
        assert {"cpu", "memory"} <= {*container["resources"]["requests"]}
        assert "memory" in container["resources"]["limits"]
        written = {m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")}
        assert {path for path in written if "dagster.yaml" not in path} <= {
            *("/tmp", "/var/lib/blsync", "/srv/marts")
        }


def test_kubernetes_knows_every_field_of_every_document(documents: list[Document]) -> None:
    assert len(documents) > 15
    for document in documents:
        validate(document)
        assert document["metadata"].get("namespace") == "blsync"
    wrong = copy.deepcopy(named(documents, "Deployment")["blsync-code"])
    wrong["spec"]["template"]["spec"]["containers"][0]["readinessProb"] = {}
    with pytest.raises(Exception, match="readinessProb"):
        validate(wrong)


def test_the_job_that_dagster_makes_of_a_run_is_valid_and_as_closed_as_the_rest(
    documents: list[Document], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job = run_job(documents, monkeypatch, tmp_path)
    validate(job)
    template = job["spec"]["template"]
    check_pod(template)
    assert template["spec"]["automountServiceAccountToken"] is False
    assert template["metadata"]["labels"]["app.kubernetes.io/name"] == "blsync"
    assert template["metadata"]["labels"]["app.kubernetes.io/component"] == "run_worker"
    namespace = {"name": "KUBERNETES_NAMESPACE", "value": "blsync"}
    assert namespace in template["spec"]["containers"][0]["env"]
    wrong = copy.deepcopy(job)
    wrong["spec"]["ttlSecondsAfterFinish"] = 1
    with pytest.raises(Exception, match="ttlSecondsAfterFinish"):
        validate(wrong)


def test_every_container_is_closed_has_probes_and_runs_a_command_that_exists(
    documents: list[Document],
) -> None:
    templates = pods(documents)
    assert {*templates} == {"blsync-code", "blsync-daemon", "blsync-web"}
    for template in templates.values():
        check_pod(template)
        for container in template["spec"]["containers"]:
            deployed.parse(container["command"])
            assert {"startupProbe", "livenessProbe"} <= {*container}
            for check in values(container, "exec"):
                deployed.parse(check["command"])


def test_variables_are_settings_that_exist(documents: list[Document]) -> None:
    names = {entry["name"] for env in values([*pods(documents).values()], "env") for entry in env}
    names |= {*named(documents, "ConfigMap")["blsync-settings"]["data"]}
    for secret in ("blsync-keys", "blsync-database"):
        names |= {*named(documents, "Secret")[secret]["data"]}
    assert names > {"DAGSTER_HOME", "PGHOST", "BIGLEDGER_API_KEY"}
    assert not deployed.unknown(names)
    assert deployed.unknown(["BLSYNC_DATE"])


def test_whatever_is_referred_to_is_there(
    documents: list[Document], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    all_pods = [
        *pods(documents).values(),
        run_job(documents, monkeypatch, tmp_path)["spec"]["template"],
    ]
    referred = {
        "ConfigMap": [*values(all_pods, "configMapRef"), *values(all_pods, "configMap")],
        "Secret": [*values(all_pods, "secretRef")],
        "PersistentVolumeClaim": [*values(all_pods, "persistentVolumeClaim")],
    }
    for kind, found in referred.items():
        names = {entry.get("name") or entry.get("claimName") for entry in found}
        assert names <= {*named(documents, kind)}, kind
    used = {entry["secretName"] for entry in values(all_pods, "secret")}
    assert used == {"blsync-ui"} <= {*named(documents, "Secret")}
    accounts = {*values(all_pods, "serviceAccountName")}
    assert accounts == {"blsync-launcher", "blsync-run"} == {*named(documents, "ServiceAccount")}
    for template in pods(documents).values():
        env = {e["name"]: e.get("value") for e in template["spec"]["containers"][0]["env"]}
        image = template["spec"]["containers"][0]["image"]
        assert env.get("DAGSTER_CURRENT_IMAGE", image) == image != "blsync"


def test_books_and_keys_are_with_the_code_location_and_runs_alone(
    documents: list[Document],
) -> None:
    holders = {
        name
        for name, template in pods(documents).items()
        if "blsync-keys" in {ref["name"] for ref in values(template, "secretRef")}
    }
    assert holders == {"blsync-code"}
    tokens = {n: t["spec"]["automountServiceAccountToken"] for n, t in pods(documents).items()}
    assert tokens == {"blsync-code": False, "blsync-daemon": True, "blsync-web": True}
    [role] = named(documents, "Role").values()
    assert not {"*", "secrets", "pods/exec"} & {
        r for rule in role["rules"] for r in rule["resources"]
    }
    assert "*" not in {verb for rule in role["rules"] for verb in rule["verbs"]}


def test_the_network_lets_nothing_pass_that_no_policy_names(documents: list[Document]) -> None:
    policies = named(documents, "NetworkPolicy")
    nothing = policies.pop("blsync-nothing")["spec"]
    assert nothing["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & {*nothing}
    assert nothing["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "blsync"}}
    for template in pods(documents).values():
        assert template["metadata"]["labels"]["app.kubernetes.io/name"] == "blsync"
    opened = {name for name, policy in policies.items() if policy["spec"].get("ingress")}
    assert opened == {"blsync-code"}
    [rule] = policies["blsync-books"]["spec"]["egress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 443}]
    assert "169.254.0.0/16" in rule["to"][0]["ipBlock"]["except"]
    services = named(documents, "Service")
    assert {service["spec"].get("type", "ClusterIP") for service in services.values()} == {
        "ClusterIP"
    }


def test_no_secret_is_shipped() -> None:
    for name in OVERLAYS:
        kept = subprocess.run(
            ["git", "ls-files", "secrets"], cwd=FOLDER / name, capture_output=True, text=True
        )
        assert kept.stdout.split() in (["secrets/.gitignore"], [])
        assert Path(FOLDER / name / "secrets/.gitignore").is_file()
