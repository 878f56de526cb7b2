"""HTTP answers of this API: JSON in camel case, and typed errors as status, code and sentence."""

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
    InvalidBlobName,
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
from shared.transfer.retry_policy import is_retryable

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
    """One fault of a request: the field, empty for the whole of it, and what is wrong there."""

    field: str
    message: str


class Problem(BaseModel):
    """Why a call failed: a stable code and a sentence that says what to change."""

    model_config = ConfigDict(title="Problem")

    code: str
    message: str
    details: list[Detail] = []


class ProblemAnswer(BaseModel):
    """The body of every answer that is an error."""

    error: Problem


def answer(status: int, body: object = None, **headers: str) -> func.HttpResponse:
    """An answer with this JSON as its body, or with none."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    text = b"" if body is None else json.dumps(body).encode()
    return func.HttpResponse(
        text,
        status_code=status,
        headers=_SAFE | named,
        mimetype="application/json" if text else None,
    )


def problem_of(error: TransferError) -> Problem:
    """The problem that an error stands for."""
    details = error.details if isinstance(error, InvalidRequest) else ()
    listed = [Detail(field=each.field, message=each.message) for each in details]
    return Problem(code=error.code, message=error.sentence, details=listed)


def refusal(error: TransferError) -> func.HttpResponse:
    """The answer that an error stands for."""
    status = next((s for kind, s in STATUSES.items() if isinstance(error, kind)), 500)
    if isinstance(error, StorageUnavailable) and not is_retryable(error):
        status = 400
    body = ProblemAnswer(error=problem_of(error)).model_dump()
    if status != 503:
        return answer(status, body)
    seconds = error.retry_after if isinstance(error, GraphUnavailable) else None
    return answer(status, body, Retry_After=str(round(seconds or _RETRY_SECONDS)))


def answering(handler: Handler) -> Handler:
    """Turn what a handler raises into an answer: nothing of a bug but its code gets out."""

    @wraps(handler)
    async def answered(*args: object, **kwargs: object) -> func.HttpResponse:
        try:
            return await handler(*args, **kwargs)
        except TransferError as error:
            return refusal(error)
        except grpc.RpcError as error:
            _LOG.warning("%s: Durable's engine does not answer: %s", handler.__name__, error.code())
            return problem(503, "EngineUnavailable", "Durable's engine does not answer. Retry.")
        except Exception:  # noqa: BLE001 (whatever it is, the caller gets an answer)
            _LOG.exception("%s failed", handler.__name__)
            sentence = "The app met an error of its own. Its log has the details."
            return problem(500, "InternalError", sentence)

    return answered


def problem(status: int, code: str, sentence: str) -> func.HttpResponse:
    """The answer for what no typed error stands for."""
    body = ProblemAnswer(error=Problem(code=code, message=sentence)).model_dump()
    return answer(status, body, **({"Retry_After": str(_RETRY_SECONDS)} if status == 503 else {}))
