"""The exceptions of the storage SDK, translated into typed errors with status and code."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceModifiedError,
    ResourceNotFoundError,
)

from shared.errors import StorageUnavailable, UnsupportedBlob


class StorageNotFound(StorageUnavailable, code="StorageUnavailable"):
    """Raised when the blob or its container does not exist."""


class StorageDenied(StorageUnavailable, code="StorageUnavailable"):
    """Raised when the app's identity may not make the request."""


class UnreadableBlob(UnsupportedBlob, code="UnsupportedBlob"):
    """Raised when storage refuses this one blob, now and later; other blobs are not affected."""


class BlobChanged(Exception):
    """Raised when a blob's ETag is not the expected one: content or metadata was written."""

    def __init__(self, blob: str, *, status: int | None = 412, storage_code: str = "") -> None:
        super().__init__(blob)
        self.status = status
        self.storage_code = storage_code


@dataclass(frozen=True, slots=True)
class WriteRules:
    """How a read-modify-write is retried: the caller's policy, since this layer has none.

    ``is_outdated``: read again and repeat, up to ``attempts`` times; ``is_refused``: permanent.
    Its second argument is whether the blob has a lease that never expires.
    """

    attempts: int
    is_outdated: Callable[[StorageUnavailable | BlobChanged], bool]
    is_refused: Callable[[StorageUnavailable | BlobChanged, bool], bool]


ARCHIVED = "The blob is in the archive tier and cannot be read. Rehydrate it, upload it again."
# By the service's error code. A key of the account that Key Vault denies (403) is not among them:
# it affects every blob, and somebody can grant it again.
_UNREADABLE = {
    "blobusescustomerspecifiedencryption": (
        "The blob is encrypted with a key that its writer sent with the upload, and that this app "
        "does not have. Upload it without a customer-provided key."
    ),
    "blobarchived": ARCHIVED,
    "blobbeingrehydrated": ARCHIVED,
    "operationnotsupportedondirectory": "The blob is a directory. Name one of its files.",
}

_DENIED = frozenset({401, 403})


@contextmanager
def storage_errors(blob: str) -> Iterator[None]:
    """Translate the SDK's exceptions about one blob.

    Raises :class:`StorageNotFound`, :class:`BlobChanged`, :class:`StorageDenied`,
    :class:`UnreadableBlob` or :class:`StorageUnavailable`.
    """
    try:
        yield
    except HttpResponseError as error:
        raise _typed(error, blob) from None
    except AzureError as error:
        raise StorageUnavailable(
            f"Azure Storage could not be reached for the blob {blob} ({type(error).__name__})."
        ) from None


def table_error(error: AzureError, table: str) -> StorageUnavailable:
    """An exception of the SDK about a table, translated."""
    if not isinstance(error, HttpResponseError) or not error.status_code:
        name = type(error).__name__
        return StorageUnavailable(
            f"Azure Storage could not be reached for the table {table} ({name})."
        )
    kind = StorageDenied if error.status_code in _DENIED else StorageUnavailable
    return kind(
        f"Azure Storage answered {error.status_code} ({error_code(error)}) for the table {table}.",
        status=error.status_code,
        storage_code=error_code(error),
    )


def error_code(error: HttpResponseError) -> str:
    """The service's own code for an error, as text."""
    named = getattr(error, "error_code", None) or "no code"
    return str(getattr(named, "value", named))


def _typed(
    error: HttpResponseError, blob: str
) -> StorageUnavailable | BlobChanged | UnreadableBlob:
    code = error_code(error)
    if error.status_code == HTTPStatus.CONFLICT and code.lower() in _UNREADABLE:
        return UnreadableBlob(_UNREADABLE[code.lower()])
    # 412 stands for a changed ETag, and for a lease that somebody holds.
    if isinstance(error, ResourceModifiedError) and "lease" not in code.lower():
        return BlobChanged(blob, status=error.status_code, storage_code=code)
    kind = StorageUnavailable
    if isinstance(error, ResourceNotFoundError):
        kind = StorageNotFound
    elif error.status_code in _DENIED:
        kind = StorageDenied
    return kind(
        f"Azure Storage answered {error.status_code} ({code}) for the blob {blob}.",
        status=error.status_code,
        storage_code=code,
    )
