"""Objects in a bucket that speaks S3.

An object is whole or absent: each is put in one request. Credentials, region and address are the
ones that boto3 finds: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL_S3 and
its files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from blsync.errors import ConfigError, StorageError
from blsync.files.atomic import atomic_write, storage_errors
from blsync.settings import is_loopback

_MISSING = ("404", "NoSuchKey", "NotFound")
_TAKEN = ("412", "PreconditionFailed", "409", "ConditionalRequestConflict")
_DELETED_AT_ONCE = 1000
"""Objects that one request may delete."""


class Bucket:
    """The objects under `s3://BUCKET/PREFIX`; names are without the prefix.

    Everything raises StorageError where the store does not do what it is asked for.
    """

    def __init__(self, address: str) -> None:
        """Raises ConfigError where boto3 is missing, or would send over a line in the clear."""
        self.address = address.rstrip("/")
        parts = urlsplit(self.address)
        self._bucket, self._prefix = parts.netloc, parts.path.lstrip("/")
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, ClientError
        except ModuleNotFoundError:
            raise ConfigError(
                f"BLSYNC_STORE is {address}, and boto3 is not installed. Install it with "
                "`pip install 'blsync[s3]'`."
            ) from None
        self._failures = (BotoCoreError, ClientError)
        config = Config(
            connect_timeout=10,
            read_timeout=60,
            retries={"mode": "standard", "total_max_attempts": 5},
        )
        with self._errors("be reached"):
            self._client: Any = boto3.client("s3", config=config)
        endpoint = urlsplit(self._client.meta.endpoint_url)
        if endpoint.scheme != "https" and not is_loopback(endpoint.hostname or ""):
            raise ConfigError(
                f"The store's address {endpoint.scheme}://{endpoint.netloc} is not https, so keys "
                "and books would travel in the clear. Set AWS_ENDPOINT_URL_S3 to an https address."
            )

    def put(self, name: str, body: bytes | Path) -> None:
        """Put an object; the latest counts."""
        with self._errors(f"take {name}"), _opened(body) as data:
            self._client.put_object(Bucket=self._bucket, Key=self._key(name), Body=data)

    def put_new(self, name: str, body: bytes | Path) -> bool:
        """Put an object unless there is one of that name; tell whether it was put."""
        try:
            with _opened(body) as data:
                self._client.put_object(
                    Bucket=self._bucket, Key=self._key(name), Body=data, IfNoneMatch="*"
                )
        except self._failures as error:
            if _code_of(error) in _TAKEN:
                return False
            raise self._told(f"take {name}", error) from error
        return True

    def get(self, name: str) -> bytes | None:
        """Return an object's bytes; None where there is none."""
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=self._key(name))
            body: bytes = found["Body"].read()
        except self._failures as error:
            if _code_of(error) in _MISSING:
                return None
            raise self._told(f"give {name}", error) from error
        return body

    def fetch(self, name: str, path: Path) -> bool:
        """Write an object into a file, which appears whole; tell whether there is one."""
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=self._key(name))
            with storage_errors(path), atomic_write(path) as draft, draft.open("wb") as file:
                for part in found["Body"].iter_chunks(1 << 20):
                    file.write(part)
        except self._failures as error:
            if _code_of(error) in _MISSING:
                return False
            raise self._told(f"give {name}", error) from error
        return True

    def names(self, prefix: str) -> set[str]:
        """Return the names of the objects that begin so."""
        found: set[str] = set()
        with self._errors(f"list {prefix}"):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._key(prefix)):
                keys = (one["Key"] for one in page.get("Contents", ()))
                found.update(key.removeprefix(self._key("")) for key in keys)
        return found

    def drop(self, prefix: str) -> None:
        """Delete the objects whose names begin so."""
        keys = [{"Key": self._key(name)} for name in sorted(self.names(prefix))]
        with self._errors(f"delete {prefix}"):
            for at in range(0, len(keys), _DELETED_AT_ONCE):
                part = {"Objects": keys[at : at + _DELETED_AT_ONCE], "Quiet": True}
                self._client.delete_objects(Bucket=self._bucket, Delete=part)

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except self._failures as error:
            raise self._told(what, error) from error

    def _told(self, what: str, error: Exception) -> StorageError:
        code = _code_of(error)
        reason = f"answered {code}" if code else f"did not answer ({type(error).__name__})"
        return StorageError(
            f"The store {self.address} could not {what}: it {reason}. Check BLSYNC_STORE, the "
            "credentials (AWS_ACCESS_KEY_ID, AWS_PROFILE or a role) and that they may list, get, "
            "put and delete there, then run the same command again; nothing was half written."
        )


def _code_of(error: Exception) -> str:
    """Return the store's own word for what it refused; empty where it did not answer."""
    response: Any = getattr(error, "response", None) or {}
    code = response.get("Error", {}).get("Code", "")
    return str(code)


@contextmanager
def _opened(body: bytes | Path) -> Iterator[Any]:
    if isinstance(body, bytes):
        yield body
        return
    with storage_errors(body), body.open("rb") as file:
        yield file
