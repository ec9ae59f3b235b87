"""Every error blsync raises on purpose.

Each message says what was tried, on what, what came back and what to do.

BlsyncError                 exit 1
├── ConfigError             exit 2  a setting, credential or argument that must be changed first
│   ├── Unauthorized        exit 2  the key was refused (401) or may not see the company
│   ├── WrongClock          exit 2  this clock and the server's, or what it dated before, disagree
│   └── InputFileError      exit 2  a file that cannot be used at all
├── PartlyFailed            exit 3  some entities, companies or rows failed; the others are done
│   ├── QuotaSpent          exit 3  the hour's requests are used up and waiting was not wanted
│   └── DeletesHeldBack     exit 3  so much of an entity seems deleted that nothing of it landed
├── SafetyLimit             exit 4  a cap refused to let a change through
├── StorageError            exit 1  the data folder cannot be read or written
│   ├── NewerFolder         exit 1  a newer blsync has written the data folder
│   ├── LedgerDamaged       exit 1  the ledger is damaged, or lost what it knew: `blsync repair`
│   └── BackupDamaged       exit 1  the backup of a plan cannot be understood: `blsync repair`
├── TooManyRejected         exit 1  so many records cannot be typed that none of them landed
├── BuildError              exit 1  the marts could not be built or published
├── Unexpected              exit 1  an error that nobody foresaw; its details are in a file
└── ApiError                exit 1  BigLedger answered with a failure, or not at all
    ├── Forbidden           the key lacks a scope (403); only that entity stops
    ├── CursorRefused       a cursor expired or was refused; the walk goes on without it
    ├── ServerFault         an answer that breaks the API's own contract
    └── Unanswered          no usable answer inside the retry bound
        └── NotSent         no connection came about, so nothing was sent

What a server or another program said is part of many messages: secrets in it are replaced here.
"""

from __future__ import annotations

from collections.abc import Mapping

from blsync.redaction import redact, redact_all


class BlsyncError(Exception):
    """Base of the tree; `exit_code` is what the command ends with (interface.md, section 3)."""

    exit_code = 1

    def __init__(self, *parts: object) -> None:
        super().__init__(*map(redact_all, parts))


class ConfigError(BlsyncError):
    """A setting, credential or argument has to be changed before anything can run."""

    exit_code = 2


class Unauthorized(ConfigError):
    """BigLedger refused the credentials (401) or the company (422 INVALID_COMPANY)."""


class WrongClock(ConfigError):
    """The machine's clock differs from the server's by more than is safe, or once did."""


class InputFileError(ConfigError):
    """A file of changes cannot be used at all."""


class PartlyFailed(BlsyncError):
    """Some entities, companies or rows failed while the others were finished."""

    exit_code = 3


class QuotaSpent(PartlyFailed):
    """The key's hour is used up and the caller asked not to wait."""


class DeletesHeldBack(PartlyFailed):
    """A larger share of an entity seems deleted than lands without being allowed."""


class SafetyLimit(BlsyncError):
    """A cap from the settings refused the change."""

    exit_code = 4


class StorageError(BlsyncError):
    """The data folder cannot be read or written."""


class NewerFolder(StorageError):
    """A newer version of the program wrote the data folder, in a form that is unknown here."""


class LedgerDamaged(StorageError):
    """The ledger is damaged, or does not know what lies beside it any more."""


class LockLost(StorageError):
    """Another process has taken over what this one held: it was stopped, or cut off, too long."""


class BackupDamaged(StorageError):
    """The backup of a plan can be read, but not understood."""


class TooManyRejected(BlsyncError):
    """More records of an entity than are allowed cannot be typed; nothing of the load landed."""


class BuildError(BlsyncError):
    """The marts could not be built, checked or published."""


class Unexpected(BlsyncError):
    """An error of another kind than these; `blsync.files.unexpected` keeps the details."""


class ApiError(BlsyncError):
    """BigLedger answered with a failure.

    `status` is the HTTP status (0: no answer), `code` the API's own code, `details` its list of
    {field, message, code}, `request_id` what to quote to the vendor.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str = "",
        details: list[dict[str, object]] | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = redact(code)
        self.details: list[dict[str, object]] = redact_all(details or [])
        self.request_id = redact(request_id)

    @property
    def is_refusal(self) -> bool:
        """Whether the request was understood and not taken as it was written (400, 422)."""
        return self.status in (400, 422)


class Forbidden(ApiError):
    """403: the key lacks a scope."""


class CursorRefused(ApiError):
    """400 or 422 on a request that carried a cursor, or another place in a list."""


class ServerFault(ApiError):
    """The server broke its own contract: a cursor used twice, `hasMore` without a cursor, …"""


class Unanswered(ApiError):
    """No usable answer came inside the retry bound; a write may or may not have been done."""


class NotSent(Unanswered):
    """No connection came about: nothing was sent, so a write was not done."""


def joined(failed: Mapping[str, BlsyncError], count: int) -> BlsyncError:
    """Return one error for those of `count` companies that failed, each under its name.

    It is a part that failed; but a clock that all of them refused is the machine's.
    """
    kinds = {type(error) for error in failed.values()}
    kind = WrongClock if kinds == {WrongClock} and len(failed) == count else PartlyFailed
    return kind(" ".join(f"{name}: {error}" for name, error in failed.items()))
