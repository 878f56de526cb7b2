"""The sentence for each way Graph and Outlook can refuse: what happened, and what to change."""

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
from shared.outlook.graph_response import GraphResponse
from shared.outlook.item import OutlookItem
from shared.transfer.activity_payloads import Job
from shared.transfer.payloads import Failure
from shared.transfer.retry_policy import DEFAULT_RETRY_AFTER, Action, Row

CANNOT_TELL = (
    "It cannot be told whether the file was attached. Look at the item in Outlook; "
    "if the file is missing, upload it again."
)

# URLs, whatever has a token in it, and tokens as they are quoted.
_SECRET = re.compile(r"https?://\S+|\S*token=\S*|\bbearer\s+\S+|\beyJ\S+", re.IGNORECASE)
_WORDS = 200


def failure(row: Row, answer: GraphResponse, job: Job) -> Failure:
    """How the transfer ends if this answer is the last word."""
    said = _said(answer)
    sentences: dict[type[Permanent], str] = {
        MailboxLimitExceeded: (
            f"Outlook refused {job.size:,} bytes as too large for mailbox {job.mailbox} ({said}). "
            "Its administrator can raise the mailbox's message size limit (35 MB unless set)."
        ),
        ItemNotFound: _no_item(job.item, said),
        PermissionMissing: _no_permission(job.item, said),
        UploadSessionsUnavailable: (
            f"This cloud offers no upload sessions for attachments ({said}): "
            "only files under 3 MB can be attached."
        ),
        OutcomeUnknown: (
            f"It cannot be told whether the file was attached ({said}). Look at the item in "
            "Outlook; if the file is missing, upload it again."
        ),
        GraphRefused: (
            f"Graph or Outlook did not take the file ({said}). "
            "Change what it names, then upload the file again."
        ),
    }
    return Failure(code=row.error.__name__, message=sentences[row.error])


def refusal_afterwards(row: Row, answer: GraphResponse, item: OutlookItem) -> TransferError:
    """The error for somebody who waits for an answer about an item's attachment."""
    said = _said(answer)
    if row.action is Action.RETRY:
        asked = DEFAULT_RETRY_AFTER if answer.retry_after is None else answer.retry_after
        return GraphUnavailable(said, max(1, math.ceil(asked)))
    if row.error is ItemNotFound:
        return ItemNotFound(_no_item(item, said))
    if row.error is PermissionMissing:
        return PermissionMissing(_no_permission(item, said))
    if row.error is AttachmentNotFound:
        return AttachmentNotFound(
            f"The {item.type} does not hold the attachment any more ({said}). "
            "To attach the file again, order a transfer of it with force."
        )
    return GraphRefused(f"Graph refused the call ({said}). Change what it names.")


def _no_item(item: OutlookItem, said: str) -> str:
    return (
        f"Graph finds no {item.type} with this id in mailbox {item.mailbox} ({said}). "
        "Check mailbox and id; an id changes when the item moves, unless it is immutable."
    )


def _no_permission(item: OutlookItem, said: str) -> str:
    return (
        f"Graph refused this app access to mailbox {item.mailbox} ({said}). Grant its managed "
        f"identity {item.permission}, with a scope that includes this mailbox."
    )


def outcome_unknown(last: Failure | None) -> Failure:
    """The end when nobody can tell; ``last`` is the last trouble, if there was any."""
    return Failure.of(OutcomeUnknown(CANNOT_TELL + _last_trouble(last)))


def too_late(last: Failure | None) -> Failure:
    """The end at the deadline, with nothing attached."""
    sentence = (
        "The file could not be attached within the app setting TRANSFER_DEADLINE_MINUTES. "
        "Upload it again."
    )
    return Failure.of(DeadlineExceeded(sentence + _last_trouble(last)))


def never_its_turn(mailbox: str) -> Failure:
    """The end of a transfer whose mailbox was busy with others all the time."""
    sentence = (
        f"Mailbox {mailbox} was busy with other files for as long as the app setting "
        "QUEUE_DEADLINE_HOURS lets a file wait. Upload it again when there are fewer."
    )
    return Failure.of(DeadlineExceeded(sentence))


def unexplained() -> Failure:
    """The end when Outlook gave no reason."""
    return Failure.of(GraphRefused("Outlook did not take the file. Upload it again."))


def _last_trouble(last: Failure | None) -> str:
    return f" The last trouble: {last.message}" if last else ""


def _said(answer: GraphResponse) -> str:
    """The far side's own words, without any URL or token they may quote."""
    if answer.lost:
        return answer.message or answer.lost.value
    words = answer.message[:_WORDS].strip()
    request = f", request-id {answer.request_id[:_WORDS]}" if answer.request_id else ""
    said = f"{answer.status} {answer.code[:_WORDS]}".strip() + (f": {words}" if words else "")
    return _SECRET.sub("<secret>", said + request)
