"""The storage SDK's exceptions as errors of this app."""

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceModifiedError,
    ResourceNotFoundError,
)

from shared.errors import BlobDeleted, StorageUnavailable


class BlobChanged(Exception):
    """Raised when a blob's ETag is not the expected one: content or metadata was written."""


@contextmanager
def storage_errors(blob: str) -> Iterator[None]:
    """Translate the SDK's exceptions about one blob.

    Raises :class:`BlobDeleted`, :class:`BlobChanged` or :class:`StorageUnavailable`.
    """
    try:
        yield
    except ResourceNotFoundError:
        raise BlobDeleted(blob) from None
    except HttpResponseError as error:
        named = getattr(error, "error_code", None) or "no code"
        code = str(getattr(named, "value", named))
        # 412 means a changed ETag, or a lease that another client holds.
        if isinstance(error, ResourceModifiedError) and "lease" not in code.lower():
            raise BlobChanged(blob) from None
        raise StorageUnavailable(
            f"Azure Storage answered {error.status_code} ({code}) for the blob {blob}.",
            status=error.status_code,
            storage_code=code,
        ) from None
    except AzureError as error:
        raise StorageUnavailable(
            f"Azure Storage could not be reached for the blob {blob} ({type(error).__name__})."
        ) from None
