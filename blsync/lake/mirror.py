"""The data folder of a machine that shares its lake with others: a mirror of a bucket.

What counts is in the bucket; the folder has the same files, so that everything that reads the lake
reads files. A page of the spool, a landed file, an input is put into the bucket first and gets its
name in the folder then. Before an entity is worked on, and before a build, what other machines have
put there since is fetched.

Nothing in the bucket is changed. Where upkeep builds an entity's files anew, they are put under the
next generation's name, which the ledger then tells everybody:

    landing/invoices/company_id=C1/g0001/20261109T120000000000Z-0a1b2c3d.parquet
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from blsync.errors import StorageError
from blsync.files.atomic import atomic_write, storage_errors
from blsync.files.exchanging import exchange
from blsync.lake.bucket import Bucket
from blsync.lake.landed import INPUTS, LAYERS, OF_A_LOAD, folders_of_a_layer, landed_files
from blsync.ledger import Ledger, generations

AT_ONCE = 8
"""Objects that are put or fetched side by side."""
_TRIES = 5
"""How often a folder is fetched whose generation another machine goes on to meanwhile."""


class Mirror:
    """What one data folder and a bucket do to be the same; raises StorageError."""

    def __init__(self, data: Path, bucket: Bucket, ledger: Ledger) -> None:
        self.data, self.bucket, self._ledger = data, bucket, ledger

    def put(self, draft: Path, path: Path) -> None:
        """Put what is to be `path` in the folder; the latest counts."""
        self._check()
        self.bucket.put(self._name(path), draft)

    def put_page(self, path: Path) -> None:
        """Put a page that is in the spool. No other machine's has its name."""
        self.bucket.put(self._name(path), path)

    def fetch_page(self, path: Path) -> None:
        """Fetch a page into the spool that another machine has put, if it did."""
        self.bucket.fetch(self._name(path), path)

    def land(self, draft: Path, path: Path) -> None:
        """Put what a load lands as `path`.

        Raises StorageError where it has landed already: a process that held the load before, and
        was stopped, was at its end after all.
        """
        if not self.bucket.put_new(self._name(path), draft):
            raise StorageError(
                f"{path.name} is in {self.bucket.address} already: another process has landed it "
                "meanwhile. Run the same command again; it goes on from there."
            )

    def drop_spool(self, load_id: str) -> None:
        """Delete the pages of a load."""
        self.bucket.drop(f"spool/{load_id}/")

    def spooled(self) -> set[str]:
        """Return the ids of the loads of which there are pages."""
        return {name.split("/")[1] for name in self.bucket.names("spool/")}

    def bring(self, entity: str, company_id: str, *, may_exchange: bool) -> bool:
        """Fetch an entity's files of a company that the folder does not have.

        Those that the bucket does not have are put there: they landed before the store was set.
        Where upkeep on another machine has built them anew, the folder is exchanged, which no build
        may go on meanwhile; unless it `may_exchange` nothing is done then and False returned.
        """
        folders = [self.data / layer / entity / f"company_id={company_id}" for layer in LAYERS]
        if not may_exchange and any(self._number(one) != self._held(one) for one in folders):
            return False
        for folder in folders:
            if self._number(folder) == self._held(folder):
                self._meet(folder)
            else:
                self._renew(folder)
        return True

    def bring_inputs(self) -> None:
        """Fetch the tables that a build reads beside the landing."""
        for name in INPUTS:
            path = self.data / "inputs" / f"{name}.parquet"
            self.bucket.fetch(self._name(path), path)

    def publish(self, folder: Path, draft: Path) -> Callable[[], None]:
        """Put what an upkeep has built as the folder's next generation, and tell the ledger.

        Returns what notes that the folder has it, to be called once it does.
        """
        number = self._number(folder) + 1
        names = [path.name for path in draft.iterdir() if OF_A_LOAD.fullmatch(path.name)]
        prefix = self._prefix(folder, number)
        self.bucket.drop(prefix)  # of a killed process

        def put(name: str) -> None:
            self.bucket.put(f"{prefix}{name}", draft / name)

        _all(put, names)
        layer, entity, company_id = self._place(folder)
        generations.put(self._ledger, company_id, entity, layer, number)

        def done() -> None:
            self._hold(folder, number)
            self.bucket.drop(self._prefix(folder, number - 1))

        return done

    def drop(self, company_id: str) -> None:
        """Delete all that has landed of a company."""
        for layer in LAYERS:
            for entity in folders_of_a_layer():
                folder = self.data / layer / entity / f"company_id={company_id}"
                self.bucket.drop(f"{folder.relative_to(self.data)}/")
                self._marker(folder).unlink(missing_ok=True)

    def _meet(self, folder: Path) -> None:
        """Fetch what the bucket alone has, and put there what the folder alone has."""
        prefix = self._prefix(folder, self._held(folder))
        there = self._there(prefix)
        here = {path.name for path in landed_files(folder)}
        _all(lambda name: self.bucket.put_new(prefix + name, folder / name), here - there)
        self._fetch(prefix, folder, there - here)

    def _renew(self, folder: Path) -> None:
        """Exchange the folder for one with the files of the generation that counts."""
        draft = self._marker(folder).with_suffix(".upkeep")
        for _ in range(_TRIES):
            number = self._number(folder)
            prefix = self._prefix(folder, number)
            with storage_errors(draft):
                shutil.rmtree(draft, ignore_errors=True)
                draft.mkdir(parents=True)
            self._fetch(prefix, draft, self._there(prefix))
            if number == self._number(folder):
                break
        else:
            raise StorageError(
                f"{folder} is built anew by another machine again and again, so it could not be "
                "fetched. Run the same command again later."
            )
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            exchange(draft, folder)
        shutil.rmtree(draft, ignore_errors=True)
        self._hold(folder, number)

    def _fetch(self, prefix: str, folder: Path, names: Iterable[str]) -> None:
        _all(lambda name: self.bucket.fetch(prefix + name, folder / name), names)

    def _there(self, prefix: str) -> set[str]:
        return {name.removeprefix(prefix) for name in self.bucket.names(prefix)}

    def _name(self, path: Path) -> str:
        parts = path.relative_to(self.data).parts
        if parts[0] not in LAYERS:
            return "/".join(parts)
        return f"{self._prefix(path.parent, self._held(path.parent))}{path.name}"

    def _prefix(self, folder: Path, number: int) -> str:
        return f"{folder.relative_to(self.data)}/g{number:04d}/"

    def _place(self, folder: Path) -> tuple[str, str, str]:
        layer, entity, company = folder.relative_to(self.data).parts
        return layer, entity, company.partition("=")[2]

    def _number(self, folder: Path) -> int:
        """Return the generation that counts."""
        layer, entity, company_id = self._place(folder)
        return generations.of(self._ledger, company_id, entity, layer)

    def _held(self, folder: Path) -> int:
        """Return the generation that the folder has."""
        marker = self._marker(folder)
        with storage_errors(marker):
            return int(marker.read_text()) if marker.exists() else 0

    def _hold(self, folder: Path, number: int) -> None:
        marker = self._marker(folder)
        with storage_errors(marker), atomic_write(marker) as draft:
            draft.write_text(str(number))

    def _marker(self, folder: Path) -> Path:
        return self.data / "mirror" / f"{'.'.join(self._place(folder))}.generation"

    def _check(self) -> None:
        """Raise LockLost where another process has taken over what this one holds."""
        with self._ledger.begin():
            pass


def _all(do: Callable[[str], object], names: Iterable[str]) -> None:
    """Do something for each name, a few side by side. Raises what the first of them raises."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(do, sorted(names)))
