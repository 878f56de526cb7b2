"""The states of a transfer while a file is attached, and the table of what follows what."""

from dataclasses import dataclass
from enum import Enum

from shared.transfer.activity_payloads import (
    ENVELOPE_BYTES,
    CancelUploadSession,
    FindAttachment,
    Job,
    UploadRanges,
)
from shared.transfer.messages import (
    deadline_exceeded,
    outcome_unknown,
    queue_deadline_exceeded,
    refused_without_reason,
)
from shared.transfer.payloads import Failure, Payload
from shared.transfer.payloads import State as StatusState


class Stage(Enum):
    """The kinds of work; the value is the name of the activity that does it."""

    POST = "attach_small_file"
    CREATE = "create_upload_session"
    UPLOAD = "upload_ranges"
    CLOSE = "cancel_upload_session"
    SEARCH = "find_attachment"


class State(Enum):
    """What is done next, and why.

    In doubt: an earlier delivery may have attached the file. Late: the deadline is over, and one
    search remains. Cut short: late, and Outlook may still commit what was sent. "The same" refers
    to the state before.
    """

    QUEUED_TO_POST = Stage.POST, "waits for its first locks, to send the file in one request"
    QUEUED_TO_CREATE = Stage.CREATE, "waits for its first locks, to create an upload session"
    POSTING = Stage.POST, "sends the file in one request"
    POSTING_IN_DOUBT = Stage.POST, "the same, in doubt"
    CREATING = Stage.CREATE, "creates an upload session"
    CREATING_IN_DOUBT = Stage.CREATE, "the same, in doubt about the POST before it"
    UPLOADING = Stage.UPLOAD, "puts the next ranges"
    UPLOADING_IN_DOUBT = Stage.UPLOAD, "the same, in doubt"
    CLOSING_TO_RESTART = Stage.CLOSE, "deletes the session before the next attempt"
    CLOSING_TO_END = Stage.CLOSE, "deletes the session, then ends as cancelled"
    CLOSING_TO_SEARCH = Stage.CLOSE, "deletes the session before a search, so that it cannot commit"
    CLOSING_CANCELLED = Stage.CLOSE, "the same, after a cancellation"
    CLOSING_LATE = Stage.CLOSE, "the same, late"
    CLOSING_CUT_SHORT = Stage.CLOSE, "the same, late and cut short"
    SEARCHING_FOR_POST = Stage.SEARCH, "searches for the attachment of a request"
    LAST_SEARCH_FOR_POST = Stage.SEARCH, "searches once more before the file is sent again"
    SEARCHING_FOR_UPLOAD = Stage.SEARCH, "searches for the attachment of a session"
    LAST_SEARCH_FOR_UPLOAD = Stage.SEARCH, "searches once more before the next session"
    SEARCHING_CANCELLED = Stage.SEARCH, "searches after a cancellation"
    LAST_SEARCH_CANCELLED = Stage.SEARCH, "searches once more before it ends as cancelled"
    SEARCHING_LATE = Stage.SEARCH, "searches, late"
    SEARCHING_CUT_SHORT = Stage.SEARCH, "searches, late and cut short"

    def __init__(self, stage: Stage, meaning: str) -> None:
        self.stage = stage
        self.meaning = meaning


class Ending(Enum):
    """How a transfer ends: the state in its status, and what is known."""

    ATTACHED = "attached", "the file is attached"
    FAILED = "failed", "Outlook, Graph or the blob does not allow it"
    SUPERSEDED = "superseded", "the blob has other content"
    CANCELLED = "cancelled", "nothing is attached"
    UNKNOWN = "failed", "it cannot be determined whether the file is attached"
    TOO_LATE = "failed", "nothing is attached before the deadline"
    NEVER_STARTED = "failed", "the mailbox was busy until the deadline of the queue"

    def __init__(self, status: StatusState, meaning: str) -> None:
        self.status = status
        self.meaning = meaning

    def error(self, last: Failure | None, mailbox: str) -> Failure | None:
        """The error in the status; ``last`` is the last failure that the transfer met."""
        match self:
            case Ending.ATTACHED | Ending.CANCELLED:
                return None
            case Ending.UNKNOWN:
                return outcome_unknown(last)
            case Ending.TOO_LATE:
                return deadline_exceeded(last)
            case Ending.NEVER_STARTED:
                return queue_deadline_exceeded(mailbox)
            case Ending.FAILED | Ending.SUPERSEDED:
                return last or refused_without_reason()


class Event(Enum):
    """An outcome of the state's activity, a special case of one, or what else happens."""

    ATTACHED = "attached"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    PROGRESS = "progress"
    RETRY = "retry"
    RETRY_IN_DOUBT = "retry, and a delivery of this work may have attached the file"
    RETRIES_SPENT = "retry, but the bound on tries is reached"
    SESSION_INSTEAD = "session_instead"
    POST_INSTEAD = "post_instead"
    BOTH_REFUSED = "the other request instead, which was refused before"
    NEW_SESSION = "new_session"
    START_OVER = "start_over"
    RECONCILE = "reconcile"
    NOT_ATTACHED = "not_attached"
    NOT_YET = "not attached, but the search goes on"
    SEARCH_REFUSED = "failed, like the request that led to this search"
    FAILED_ANYWAY = "not attached, and what led to the search was a failure"
    SUPERSEDED_ANYWAY = "not attached, and what led to the search was other content"
    SESSION_AT_LAST = "another attempt is needed, and every one of a small file was a POST"
    ATTEMPTS_SPENT = "another attempt is needed, but the bound on attempts is reached"
    BEGIN = "the first locks are acquired"
    CANCEL = "a cancellation is requested"
    DEADLINE = "the deadline is over"
    DEADLINE_IN_DOUBT = "the deadline is over, and the session may have every byte"
    DEADLINE_CUTS_SHORT = "the deadline is over, and the search's own time is not"
    NO_CALL_LEFT = "no call is allowed until the deadline, or was possible shortly after it"


# What led to a search is the end, since the search finds nothing.
ENDED_BEFORE = frozenset({Event.FAILED_ANYWAY, Event.SUPERSEDED_ANYWAY, Event.SEARCH_REFUSED})
# It is not known whether the file is attached, and a search is to find out.
SEARCHES = frozenset(
    {
        State.CLOSING_TO_SEARCH,
        State.CLOSING_CANCELLED,
        State.CLOSING_LATE,
        State.CLOSING_CUT_SHORT,
        *(state for state in State if state.stage is Stage.SEARCH),
    }
)
LATE = frozenset(
    {
        State.CLOSING_LATE,
        State.CLOSING_CUT_SHORT,
        State.SEARCHING_LATE,
        State.SEARCHING_CUT_SHORT,
    }
)
# After these the file is sent again, or the transfer ends as not attached. So the activity may
# decide by the size alone.
LAST_SEARCHES = frozenset(
    {
        State.LAST_SEARCH_FOR_POST,
        State.LAST_SEARCH_FOR_UPLOAD,
        State.LAST_SEARCH_CANCELLED,
    }
)


def bytes_sent_by(stage: Stage, job: Job, offset: int) -> int:
    """The most bytes that the stage's activity sends to the mailbox, from ``offset`` on."""
    match stage:
        case Stage.UPLOAD:
            return UploadRanges(job=job, offset=offset).most_bytes
        case Stage.POST:
            return job.post_bytes
        case Stage.CREATE:
            return ENVELOPE_BYTES
        case _:
            return 0


def work_of(state: State, job: Job, offset: int, *, noted: bool) -> Payload:
    """The input of the state's activity."""
    match state.stage:
        case Stage.UPLOAD:
            return UploadRanges(job=job, offset=offset)
        case Stage.CLOSE:
            return CancelUploadSession(transfer_id=job.transfer_id, job=job)
        case Stage.SEARCH:
            return FindAttachment(job=job, is_last_attempt=state in LAST_SEARCHES, noted=noted)
        case _:
            return job


@dataclass(frozen=True, slots=True)
class End:
    """How a transfer ended, as fields of its status.

    ``is_unknown``: it cannot be determined whether the file is attached.
    """

    state: StatusState
    bytes_sent: int
    attachment_id: str | None = None
    error: Failure | None = None
    is_unknown: bool = False

    def status(self) -> dict[str, object]:
        """The fields, by name."""
        return {
            "state": self.state,
            "bytes_sent": self.bytes_sent,
            "attachment_id": self.attachment_id,
            "error": self.error,
        }
