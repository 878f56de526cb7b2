"""The sentences for what can go wrong at Graph and Outlook: what happened, and what to change."""

import math
import re

from shared.errors import (
    AttachmentNotFound,
    DeadlineExceeded,
    GraphRefused,
    GraphUnavailable,
    ItemNotFound,
    MailboxLimitExceeded,
    OutcomeUnknown,
    Permanent,
    PermissionMissing,
    TransferError,
    UploadSessionsUnavailable,
)
from shared.one_line import one_line
from shared.outlook.graph_response import GraphResponse, NoResponse
from shared.outlook.item import OutlookItem
from shared.transfer.activity_payloads import Job
from shared.transfer.payloads import Failure
from shared.transfer.published_codes import NO_MAILBOX
from shared.transfer.retry_policy import DEFAULT_RETRY_AFTER, effective_retry_after
from shared.transfer.retry_table import Action, GraphFailing, Row

# URLs, anything with a token in it, and tokens as they are quoted.
_SECRET = re.compile(r"https?://\S+|\S*token=\S*|\bbearer\s+\S+|\beyJ\S+", re.IGNORECASE)
# Characters of text from a response that a sentence repeats.
_QUOTED = 200


def failure_of_response(row: Row, response: GraphResponse, job: Job) -> Failure:
    """How the transfer ends if this response is the last one."""
    reason = _reason(response)
    sentences: dict[type[Permanent], str] = {
        MailboxLimitExceeded: (
            f"Outlook refused {job.size:,} bytes as too large for mailbox {job.mailbox} "
            f"({reason}). Its administrator can raise the mailbox's message size limit "
            "(35 MB unless set)."
        ),
        ItemNotFound: _not_found(job.item, response, reason),
        PermissionMissing: _no_permission(job.item, reason),
        UploadSessionsUnavailable: (
            f"This cloud offers no upload sessions for attachments ({reason}): "
            "only files under 3 MB can be attached."
        ),
        OutcomeUnknown: (
            f"It cannot be determined whether the file was attached ({reason}). Look at the item "
            "in Outlook; if the file is missing, upload it again."
        ),
        GraphFailing: (
            f"Graph or Outlook failed, and did not say what it had done ({reason}). Upload the "
            "file again later; if that fails too, give the request-id to Microsoft's support."
        ),
        GraphRefused: (
            f"Graph or Outlook did not accept the file ({reason}). "
            "Change what it names, then upload the file again."
        ),
    }
    return Failure(code=row.error.code, message=sentences[row.error])


def error_of_response(row: Row, response: GraphResponse, item: OutlookItem) -> TransferError:
    """The error for a caller of the API, about an item's attachment."""
    reason = _reason(response)
    if row.action is Action.RETRY:
        seconds = effective_retry_after(row, response)
        return _unavailable(reason, DEFAULT_RETRY_AFTER if seconds is None else seconds)
    if row.error is ItemNotFound:
        return ItemNotFound(_not_found(item, response, reason))
    if row.error is PermissionMissing:
        return PermissionMissing(_no_permission(item, reason))
    if row.error is AttachmentNotFound:
        return AttachmentNotFound(
            f"The {item.type} does not hold the attachment any more ({reason}). "
            "To attach the file again, request a new transfer with force."
        )
    return GraphRefused(f"Graph refused the request ({reason}). Change what it names.")


def unusable_response() -> GraphUnavailable:
    """The error for a caller when a success does not contain what it should."""
    return _unavailable(NoResponse.UNKNOWN.value, DEFAULT_RETRY_AFTER)


def _unavailable(reason: str, retry_after: float) -> GraphUnavailable:
    return GraphUnavailable(reason, max(1, math.ceil(retry_after)))


def _not_found(item: OutlookItem, response: GraphResponse, reason: str) -> str:
    if response.code.lower() in NO_MAILBOX:
        return (
            f"Graph knows no mailbox {item.mailbox} ({reason}). "
            "Check mailbox and user: the user needs a licence for Exchange Online."
        )
    return (
        f"Graph finds no {item.type} with this id in mailbox {item.mailbox} ({reason}). "
        "Check mailbox and id; an id changes when the item moves, unless it is immutable."
    )


def _no_permission(item: OutlookItem, reason: str) -> str:
    return (
        f"Graph refused this app access to mailbox {item.mailbox} ({reason}). Grant its managed "
        f"identity {item.permission}, with a scope that includes this mailbox."
    )


def both_failed(post: Failure | None, session: Failure | None) -> Failure | None:
    """The last failure, if a small file was tried by POSTs and then by an upload session."""
    if post is None or session is None or session.message.startswith(post.message):
        # One that names both begins with the first.
        return session or post
    message = f"{post.message} An upload session instead failed, too: {session.message}"
    return post.model_copy(update={"message": message})


def outcome_unknown(last: Failure | None) -> Failure:
    """The end when it cannot be determined whether the file is attached."""
    return Failure.of(OutcomeUnknown(_last_failure(last)))


def deadline_exceeded(last: Failure | None) -> Failure:
    """The end at the deadline, with nothing attached."""
    sentence = (
        "The file could not be attached within the app setting TRANSFER_DEADLINE_MINUTES. "
        "Upload it again."
    )
    return Failure.of(DeadlineExceeded(sentence + _last_failure(last)))


def queue_deadline_exceeded(mailbox: str) -> Failure:
    """The end of a transfer that never got its locks, since others kept the mailbox busy."""
    sentence = (
        f"Mailbox {mailbox} was busy with other files for as long as the app setting "
        "QUEUE_DEADLINE_HOURS lets a file wait. Upload it again when there are fewer."
    )
    return Failure.of(DeadlineExceeded(sentence))


def refused_without_reason() -> Failure:
    """The end if Outlook gave no reason."""
    return Failure.of(GraphRefused("Outlook did not accept the file. Upload it again."))


def _last_failure(last: Failure | None) -> str:
    return f" The last failure: {last.message}" if last else ""


def _reason(response: GraphResponse) -> str:
    """The server's error, or why there is no response, without any URL or token it may quote."""
    if response.no_response:
        return response.message or response.no_response.value
    text = response.message[:_QUOTED].strip()
    request = f", request-id {response.request_id[:_QUOTED]}" if response.request_id else ""
    error = f"{response.status} {response.code[:_QUOTED]}".strip() + (f": {text}" if text else "")
    return one_line(_SECRET.sub("<secret>", error + request))
