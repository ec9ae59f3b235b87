"""What a data folder and its ledger are bound to: each other, and the companies they hold.

Records are kept by company id. So another server's under the same id would take the place of the
true ones, and a company that the settings no longer list would go on in the marts. And a ledger
tells what is covered: with a second folder it would tell that of both. Whoever opens the ledger
opens it here; where something does not fit, nothing is asked, written or built.

The binding stands in `lake.json` in the folder, in the ledger, and in the footers of landed files,
so that whichever is lost is restored from the others.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from blsync import __version__
from blsync.errors import BlsyncError, ConfigError, LedgerDamaged, NewerFolder, StorageError
from blsync.files.atomic import atomic_write, storage_errors
from blsync.files.locks import blocking_file_lock
from blsync.lake.bucket import Bucket
from blsync.lake.landed import company_folders, company_of, landed_files
from blsync.lake.store import FOOTER, Lake
from blsync.ledger import Ledger, lakes, sqlite_file
from blsync.ledger.lakes import Binding, Origin
from blsync.session.loss import back_up_plans, refuse_lost
from blsync.settings import Settings

FORMAT = 1
"""Of the data folder: what a version writes that an earlier one would misread has the next number.
Files of an earlier number are brought up to date when the folder is opened; those before 1 name no
number, and are as they are in 1."""
_NAME = "lake.json"
DROPPING = "dropping.json"
"""While it says `removing`, half of a company may be gone, and no other command runs."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


def open_ledger(settings: Settings, *, is_mended: bool = False) -> Ledger:
    """Open the ledger, having seen to it that folder, ledger and settings fit together.

    Raises ConfigError where they do not, saying what to do, StorageError, and LedgerDamaged where
    the ledger does not know what lies in the folder, unless it `is_mended`.
    """
    return _opened(settings, is_checked=True, is_mended=is_mended)


def open_to_drop(settings: Settings) -> Ledger:
    """As `open_ledger`, whatever companies the settings list."""
    return _opened(settings, is_checked=False)


def inspect(settings: Settings) -> tuple[Ledger | None, BlsyncError | None]:
    """Open the ledger also where something does not fit; return it with what that is.

    There is none where it is damaged or lost, or cannot be used. Raises ConfigError where
    BLSYNC_LEDGER_URL is no address.
    """
    try:
        return open_ledger(settings), None
    except NewerFolder as error:
        return None, error
    except LedgerDamaged as error:  # opened all the same it would say that nothing is covered
        return None, error
    except (ConfigError, StorageError) as error:
        problem: BlsyncError = error
    try:
        return Ledger(settings.ledger_url), problem
    except StorageError as error:
        return None, error


def take_over(settings: Settings) -> None:
    """Have the ledger belong to this folder, whatever folder it belonged to.

    Tables that it lost are made again. Raises ConfigError where the settings do not fit the folder,
    or a company is half removed from it.
    """
    _refuse_newer(settings.data)
    _refuse_half_dropped(settings.data)
    ledger = Ledger(settings.ledger_url, is_mended=True)
    try:
        with _alone(settings):
            folder = read(settings.data)
            origins = _origins_in(settings.data)
            found = folder or Binding(_lake_id_of(settings, origins), origins.companies)
            fitting = _fitting(settings, found, landed_companies(settings.data))
            _write(settings.data, fitting)
            lakes.take_over(ledger, fitting)
    finally:
        ledger.close()


def bind_anew(settings: Settings) -> None:
    """Take the settings' servers for those that the folder was made with.

    For servers that are known to be the same under another address.
    """
    ledger = Ledger(settings.ledger_url)
    try:
        with _alone(settings):
            if folder := read(settings.data):
                renewed = Binding(folder.lake_id, _wanted(settings))
                _write(settings.data, renewed)
                lakes.bind(ledger, renewed)
    finally:
        ledger.close()


def release(settings: Settings, ledger: Ledger, company_id: str) -> None:
    """Take a company out of what folder and ledger are bound to."""
    with _alone(settings):
        if folder := read(settings.data):
            left = {id_: origin for id_, origin in folder.companies.items() if id_ != company_id}
            renewed = Binding(folder.lake_id, left)
            _write(settings.data, renewed)
            lakes.bind(ledger, renewed)


def is_same_server(one: str, other: str) -> bool:
    """Tell whether two base URLs name the same server, however they are written."""
    return _normal(one) == _normal(other)


def read(data: Path) -> Binding | None:
    """Return what the folder says it is bound to; None where it says nothing.

    Raises StorageError where its file cannot be read.
    """
    path = _file(data)
    if not path.exists():
        return None
    try:
        with storage_errors(path):
            told = json.loads(path.read_bytes())
        companies = {
            company_id: Origin(about["name"], about["base_url"])
            for company_id, about in told["companies"].items()
        }
        return Binding(str(told["lake_id"]), companies)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StorageError(
            f"{path} is damaged: it does not say what this folder is bound to. Restore it from a "
            "backup, or delete it: it is written anew from the ledger and the landed files."
        ) from None


def version_of(data: Path) -> tuple[int, str | None]:
    """Return the number of the folder's form, and the version of blsync that wrote it last; 0 and
    None where the folder does not say so.
    """
    with suppress(OSError, ValueError, TypeError, AttributeError):
        told = json.loads(_file(data).read_bytes())
        return int(told.get("format", 0)), told.get("written_by")
    return 0, None


def _refuse_newer(data: Path) -> None:
    number, version = version_of(data)
    if number > FORMAT:
        raise NewerFolder(
            f"{data} was written by blsync {version}, in form {number}; this is blsync "
            f"{__version__}, which knows forms up to {FORMAT}. Install that version or a newer one "
            "(pip install --upgrade blsync), or set BLSYNC_DATA to another folder. Nothing was "
            "changed."
        )


def _note_version(settings: Settings) -> None:
    """Have the folder say that this version wrote it."""
    if version_of(settings.data) != (FORMAT, __version__):
        with _alone(settings):
            if folder := read(settings.data):
                _write(settings.data, folder)


def _opened(settings: Settings, *, is_checked: bool, is_mended: bool = False) -> Ledger:
    Lake(settings.data)
    _refuse_newer(settings.data)
    if is_checked:
        _refuse_half_dropped(settings.data)
    plans = settings.data / "plans"
    ledger = Ledger(settings.ledger_url, plans=plans, is_mended=is_mended)
    try:
        with _bound_store(settings, ledger, is_mended=is_mended):
            ledger.lake_id = _bound(settings, ledger, is_checked=is_checked).lake_id
            _note_version(settings)
        if is_checked and not is_mended:
            refuse_lost(ledger, settings.data, _wanted(settings).keys())
            back_up_plans(ledger)
    except BaseException:
        ledger.close()
        raise
    return ledger


def store_of(settings: Settings) -> Bucket | None:
    """Return the bucket that the settings name; None where the data folder is the only store.

    Raises ConfigError where it cannot be used.
    """
    return Bucket(settings.store) if settings.store else None


@contextmanager
def _bound_store(settings: Settings, ledger: Ledger, *, is_mended: bool) -> Iterator[None]:
    """Have the folder bound to what the bucket holds before the block, and the bucket to the folder
    after it. Raises ConfigError where they hold different lakes, and where the ledger knows nothing
    of the lake, unless it `is_mended`.
    """
    if (bucket := store_of(settings)) is None:
        yield
        return
    lock, busy = settings.data / "spool" / "store.lock", "Another process is binding the store."
    with ledger.blocking_lock(lock, lambda _: None, busy):
        if not _file(settings.data).exists():
            is_held = bucket.fetch(_NAME, _file(settings.data))
            if is_held and not is_mended and lakes.find(ledger) is None:
                _file(settings.data).unlink()
                raise ConfigError(
                    f"{bucket.address} holds a lake, and the ledger {ledger.address} knows nothing "
                    "of it. Set BLSYNC_LEDGER_URL to that lake's ledger, or BLSYNC_STORE to a "
                    "place of its own; only where that ledger is lost for good, run `blsync "
                    "repair`: it reads from the lake what has landed. Nothing was asked or written."
                )
        yield
        is_new = bucket.put_new(_NAME, _file(settings.data))
        if is_new and bucket.put_new(_NAME, _file(settings.data)):
            raise ConfigError(
                f"{bucket.address} does not heed If-None-Match: what is there is overwritten by "
                "whoever puts it again, so two machines could land a load twice. Use a store that "
                "does (Amazon S3, MinIO and Cloudflare R2 do); nothing was asked or pulled."
            )
        if not is_new:
            _check_store(settings, bucket)


def _check_store(settings: Settings, bucket: Bucket) -> None:
    folder, told = read(settings.data), bucket.get(_NAME) or b""
    lake_id = folder.lake_id if folder else ""
    try:
        owner = str(json.loads(told)["lake_id"])
    except (ValueError, KeyError, TypeError):
        raise StorageError(
            f"{bucket.address}/{_NAME} is damaged: it does not say which lake is there. Delete "
            "it: it is written anew from the data folder."
        ) from None
    if owner != lake_id:
        raise ConfigError(
            f"{bucket.address} holds the lake {owner[:8]}, and {settings.data} with its ledger the "
            f"lake {lake_id[:8]}. Records of both would be mixed, so nothing was asked or written. "
            "Set BLSYNC_STORE to this lake's own place in a bucket, or BLSYNC_DATA to an empty "
            "folder and BLSYNC_LEDGER_URL to the other lake's ledger."
        )


def _bound(settings: Settings, ledger: Ledger, *, is_checked: bool) -> Binding:
    folder, known = read(settings.data), lakes.find(ledger)
    if folder and folder == known and (not is_checked or _fits(folder, _wanted(settings))):
        return folder
    with _alone(settings):
        folder, known = read(settings.data), lakes.find(ledger)
        bound = _agreed(settings, ledger, folder, known)
        if is_checked:
            held = lakes.held_companies(ledger) | landed_companies(settings.data)
            bound = _fitting(settings, bound, held)
        if bound != folder:
            _write(settings.data, bound)
        if bound != known and (owner := lakes.bind(ledger, bound)) != bound.lake_id:
            if folder is None:  # another process's folder was first
                _file(settings.data).unlink(missing_ok=True)
            raise _of_another_lake(settings, ledger, owner)
        return bound


def _fits(binding: Binding, wanted: Mapping[str, Origin]) -> bool:
    return binding.companies.keys() == wanted.keys() and all(
        origin.name == wanted[company_id].name
        and is_same_server(origin.base_url, wanted[company_id].base_url)
        for company_id, origin in binding.companies.items()
    )


def _agreed(
    settings: Settings, ledger: Ledger, folder: Binding | None, known: Binding | None
) -> Binding:
    """Return what folder and ledger say; what one of them lost is taken from the other.

    Raises ConfigError where they say different things.
    """
    if folder and known:
        if folder.lake_id != known.lake_id:
            raise _of_another_lake(settings, ledger, known.lake_id)
        for company_id in folder.companies.keys() & known.companies.keys():
            here, there = folder.companies[company_id], known.companies[company_id]
            if not is_same_server(here.base_url, there.base_url):
                raise ConfigError(
                    f"{_file(settings.data)} says that {company_id} comes from {here.base_url}, "
                    f"the ledger {ledger.address} from {there.base_url}. Restore the one that is "
                    "wrong from a backup; nothing was asked or written."
                )
        return Binding(folder.lake_id, {**known.companies, **folder.companies})
    origins = _origins_in(settings.data)
    if known:
        is_its_own = origins.lake_ids <= {known.lake_id} and (
            origins.lake_ids or _has_ledger_inside(settings)
        )
        if not is_its_own:
            raise _of_another_lake(settings, ledger, known.lake_id)
        return known
    if folder:
        if others := origins.lake_ids - {folder.lake_id}:
            raise _mixed(settings, {folder.lake_id, *others})
        return folder
    return Binding(_lake_id_of(settings, origins), origins.companies)


def _fitting(settings: Settings, bound: Binding, held: set[str]) -> Binding:
    """Return the binding with what the settings say, where that fits what is held."""
    wanted = _wanted(settings)
    for company_id in sorted(held):
        origin = bound.companies.get(company_id)
        if company_id not in wanted:
            raise _unlisted(settings, company_id, origin)
        address = wanted[company_id].base_url
        if origin and not is_same_server(origin.base_url, address):
            raise _moved(settings, company_id, origin, address)
    return Binding(bound.lake_id, wanted)


def _wanted(settings: Settings) -> dict[str, Origin]:
    return {
        company.company_id: Origin(company.name, company.base_url)
        for company in settings.companies()
        if company.company_id
    }


def _moved(settings: Settings, company_id: str, origin: Origin, address: str) -> ConfigError:
    return ConfigError(
        f"{settings.data} holds {_called(company_id, origin)} as it was read from "
        f"{origin.base_url}, and the settings now say {address}. Records of two servers would be "
        "taken for each other, so nothing was asked, written or built. Set the base URL back to "
        f"{origin.base_url}; or give the other server a BLSYNC_DATA of its own; or, where what is "
        f"here is not wanted any more, remove it: `blsync company drop {company_id}`."
    )


def _unlisted(settings: Settings, company_id: str, origin: Origin | None) -> ConfigError:
    listed = ", ".join(_called(*pair) for pair in _wanted(settings).items()) or "no company"
    source = f", read from {origin.base_url}," if origin else ""
    return ConfigError(
        f"{settings.data} holds {_called(company_id, origin)}{source} and the settings list "
        f"{listed}. The marts would go on showing it beside the others, so nothing was asked, "
        "written or built. Give another company a BLSYNC_DATA of its own; or list both in "
        f"BLSYNC_COMPANIES; or remove it: `blsync company drop {company_id}`."
    )


def _of_another_lake(settings: Settings, ledger: Ledger, owner: str) -> ConfigError:
    return ConfigError(
        f"The ledger {ledger.address} belongs to another data folder than {settings.data} (to lake "
        f"{owner[:8]}): what it says is covered lies there. One ledger serves one folder. Set "
        "BLSYNC_DATA to that folder, or give this one a ledger of its own (BLSYNC_LEDGER_URL). "
        "Only where that folder is gone for good: `blsync repair --take-over` binds the ledger to "
        "this folder, and the next sync pulls again what is not in it. Nothing was asked or "
        "written."
    )


def _mixed(settings: Settings, lake_ids: set[str]) -> ConfigError:
    names = ", ".join(sorted(lake_id[:8] for lake_id in lake_ids))
    return ConfigError(
        f"{settings.data / 'landing'} holds files of several data folders (lakes {names}). Move "
        "those of the others out of it, then run `blsync repair`; nothing was asked or written."
    )


def _refuse_half_dropped(data: Path) -> None:
    told = dropping(data)
    if told.get("state") == "removing":
        name = told.get("company_id", "")
        raise ConfigError(
            f"The removal of {name} from {data} was interrupted, so part of it is gone. Run "
            f"`blsync company drop {name} --yes` again: it ends what it began."
        )


def landed_companies(data: Path) -> set[str]:
    """Return the ids of the companies of which anything has landed. Raises StorageError."""
    return {company_of(path.parent) for path in _landed_files(data)}


def dropping(data: Path) -> dict[str, str]:
    """Return what the note of a removal that has not come to its end says; empty: there is none."""
    with suppress(OSError, ValueError):
        told = json.loads((data / DROPPING).read_bytes())
        return {str(name): str(value) for name, value in dict(told).items()}
    return {}


def _called(company_id: str, origin: Origin | None) -> str:
    if origin is None or origin.name == company_id:
        return f"the company {company_id}"
    return f"the company {origin.name} ({company_id})"


@dataclass
class _Origins:
    """What the footers of landed files say."""

    lake_ids: set[str] = field(default_factory=set)
    companies: dict[str, Origin] = field(default_factory=dict)


def _origins_in(data: Path) -> _Origins:
    found = _Origins()
    for path in _landed_files(data):
        for facts in _facts_in(path):
            company_id, address = facts.get("company_id"), facts.get("base_url")
            if lake_id := facts.get("lake_id"):
                found.lake_ids.add(str(lake_id))
            if company_id and address:
                found.companies[str(company_id)] = Origin(str(company_id), str(address))
    return found


def _landed_files(data: Path) -> Iterator[Path]:
    for folder in company_folders(data):
        with storage_errors(folder):
            files = landed_files(folder)
        yield from (path for path in files if path.name != "00000000-schema.parquet")


def _facts_in(path: Path) -> list[dict[str, Any]]:
    """Return a file's facts; none where it cannot be read, which is for others to tell."""
    try:
        text = (pq.read_metadata(path).metadata or {}).get(FOOTER)
        facts = json.loads(text) if text else {}
    except (OSError, ValueError, pa.ArrowException):
        return []
    several: list[dict[str, Any]] = facts.get("loads", [facts])
    return several


def _lake_id_of(settings: Settings, origins: _Origins) -> str:
    if len(origins.lake_ids) > 1:
        raise _mixed(settings, origins.lake_ids)
    return next(iter(origins.lake_ids), uuid.uuid4().hex)


def _has_ledger_inside(settings: Settings) -> bool:
    file = sqlite_file(settings.ledger_url)
    return file is not None and file.resolve().is_relative_to(settings.data.resolve())


def _normal(url: str) -> tuple[str, str, int | None, str]:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    port = parts.port or _DEFAULT_PORTS.get(scheme)
    return scheme, (parts.hostname or "").lower(), port, parts.path.rstrip("/")


def _file(data: Path) -> Path:
    return data / _NAME


def _write(data: Path, binding: Binding) -> None:
    told = {
        "format": FORMAT,
        "written_by": __version__,
        "lake_id": binding.lake_id,
        "companies": {id_: vars(origin) for id_, origin in sorted(binding.companies.items())},
    }
    path = _file(data)
    with storage_errors(path), atomic_write(path) as draft:
        os.close(os.open(draft, os.O_CREAT, 0o600))  # its owner's alone from the first byte on
        draft.write_text(json.dumps(told, indent=1))


def _alone(settings: Settings) -> AbstractContextManager[None]:
    busy = "Another process is binding the data folder; waiting for it."
    return blocking_file_lock(settings.data / "lake.lock", lambda _: None, busy)
