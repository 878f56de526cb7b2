"""HTTP responses of the API: JSON in camel case, and typed errors as status, code and sentence."""

import json
import logging
from collections.abc import Awaitable, Callable
from functools import wraps

import azure.functions as func
import grpc
from pydantic import BaseModel, ConfigDict

from shared.errors import (
    AttachmentNotFound,
    AttachmentTooLarge,
    BlobNotFound,
    DownloadTooLarge,
    GraphRefused,
    GraphUnavailable,
    InvalidRequest,
    ItemNotFound,
    MailboxNotAllowed,
    PermissionMissing,
    StorageUnavailable,
    TransferError,
    TransferNotFound,
    TransferOver,
    UnsupportedBlob,
)
from shared.storage.source_container import InvalidBlobName
from shared.transfer.storage_policy import is_retryable

_LOG = logging.getLogger(__name__)

STATUSES: dict[type[TransferError], int] = {
    InvalidRequest: 400,
    UnsupportedBlob: 400,
    InvalidBlobName: 400,
    MailboxNotAllowed: 403,
    PermissionMissing: 403,
    BlobNotFound: 404,
    ItemNotFound: 404,
    TransferNotFound: 404,
    AttachmentNotFound: 404,
    TransferOver: 409,
    AttachmentTooLarge: 413,
    DownloadTooLarge: 413,
    GraphRefused: 502,
    GraphUnavailable: 503,
    StorageUnavailable: 503,
}
_RETRY_SECONDS = 5
_SAFE = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}

type Handler = Callable[..., Awaitable[func.HttpResponse]]


class Detail(BaseModel):
    """One fault of a request: its field, empty for the whole request, and what is wrong with it."""

    field: str
    message: str


class Problem(BaseModel):
    """Why a call failed: a stable code and a sentence that says what to change."""

    model_config = ConfigDict(title="Problem")

    code: str
    message: str
    details: list[Detail] = []


class ErrorResponse(BaseModel):
    """The body of every error response."""

    error: Problem


def json_response(status: int, body: object = None, **headers: str) -> func.HttpResponse:
    """A response with this JSON as its body, or without a body."""
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    text = b"" if body is None else json.dumps(body).encode()
    return func.HttpResponse(
        text,
        status_code=status,
        headers=_SAFE | extra,
        mimetype="application/json" if text else None,
    )


def problem_of(error: TransferError) -> Problem:
    """A typed error as the body describes it."""
    details = error.details if isinstance(error, InvalidRequest) else ()
    faults = [Detail(field=each.field, message=each.message) for each in details]
    return Problem(code=error.code, message=error.sentence, details=faults)


def error_response(error: TransferError) -> func.HttpResponse:
    """The response for a typed error."""
    status = next((s for kind, s in STATUSES.items() if isinstance(error, kind)), 500)
    if isinstance(error, StorageUnavailable) and not is_retryable(error):
        status = 400
    body = ErrorResponse(error=problem_of(error)).model_dump()
    if status != 503:
        return json_response(status, body)
    seconds = error.retry_after if isinstance(error, GraphUnavailable) else None
    return json_response(status, body, Retry_After=str(round(seconds or _RETRY_SECONDS)))


def error_boundary(handler: Handler) -> Handler:
    """Respond to what a handler raises. A response never contains the details of a bug."""

    @wraps(handler)
    async def guarded(*args: object, **kwargs: object) -> func.HttpResponse:
        try:
            return await handler(*args, **kwargs)
        except TransferError as error:
            return error_response(error)
        except grpc.RpcError as error:
            _LOG.warning(
                "%s: the Durable engine does not respond: %s", handler.__name__, error.code()
            )
            return problem_response(
                503, "EngineUnavailable", "The Durable engine does not respond. Try again."
            )
        except Exception:  # noqa: BLE001 (a caller must get a response to any error)
            _LOG.exception("%s failed", handler.__name__)
            sentence = "The app failed with an internal error. Its log has the details."
            return problem_response(500, "InternalError", sentence)

    return guarded


def problem_response(status: int, code: str, sentence: str) -> func.HttpResponse:
    """The response for an error without a type of its own."""
    body = ErrorResponse(error=Problem(code=code, message=sentence)).model_dump()
    return json_response(
        status, body, **({"Retry_After": str(_RETRY_SECONDS)} if status == 503 else {})
    )
