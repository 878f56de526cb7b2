"""The exceptions of the storage SDK, translated into typed errors with status and code."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceModifiedError,
    ResourceNotFoundError,
)

from shared.errors import StorageUnavailable


class StorageNotFound(StorageUnavailable, code="StorageUnavailable"):
    """Raised when the blob or its container does not exist."""


class StorageDenied(StorageUnavailable, code="StorageUnavailable"):
    """Raised when the app's identity may not make the request."""


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
    """

    attempts: int
    is_outdated: Callable[[StorageUnavailable | BlobChanged], bool]
    is_refused: Callable[[StorageUnavailable | BlobChanged], bool]


@contextmanager
def storage_errors(blob: str) -> Iterator[None]:
    """Translate the SDK's exceptions about one blob.

    Raises :class:`StorageNotFound`, :class:`BlobChanged`, :class:`StorageDenied` or
    :class:`StorageUnavailable`.
    """
    try:
        yield
    except HttpResponseError as error:
        raise _typed(error, blob) from None
    except AzureError as error:
        raise StorageUnavailable(
            f"Azure Storage could not be reached for the blob {blob} ({type(error).__name__})."
        ) from None


def _typed(error: HttpResponseError, blob: str) -> StorageUnavailable | BlobChanged:
    named = getattr(error, "error_code", None) or "no code"
    code = str(getattr(named, "value", named))
    # 412 stands for a changed ETag, and for a lease that somebody holds.
    if isinstance(error, ResourceModifiedError) and "lease" not in code.lower():
        return BlobChanged(blob, status=error.status_code, storage_code=code)
    kind = StorageUnavailable
    if isinstance(error, ResourceNotFoundError):
        kind = StorageNotFound
    elif error.status_code in {401, 403}:
        kind = StorageDenied
    return kind(
        f"Azure Storage answered {error.status_code} ({code}) for the blob {blob}.",
        status=error.status_code,
        storage_code=code,
    )
