"""The stages of attaching a file, what follows what, and the two things between and after them."""

from dataclasses import dataclass
from enum import Enum

from shared.transfer.activity_payloads import Job, Outcome
from shared.transfer.payloads import Failure, State


class Stage(Enum):
    """What is to be done next; the value is the activity that does it."""

    POST = "attach_small_file"
    CREATE = "create_upload_session"
    UPLOAD = "upload_ranges"
    CLOSE = "cancel_upload_session"
    LOOK = "find_attachment"


# The stages whose activity gives Outlook something.
SENDING = frozenset({Stage.POST, Stage.CREATE, Stage.UPLOAD})

# The stage after an outcome; a retry stays. After CLOSE comes what the upload asked for: LOOK or
# CREATE.
NEXT: dict[tuple[Stage, Outcome], Stage] = {
    (Stage.POST, "start_over"): Stage.POST,
    (Stage.POST, "session_instead"): Stage.CREATE,
    (Stage.POST, "reconcile"): Stage.LOOK,
    (Stage.CREATE, "progress"): Stage.UPLOAD,
    (Stage.CREATE, "post_instead"): Stage.POST,
    (Stage.CREATE, "reconcile"): Stage.LOOK,
    (Stage.UPLOAD, "progress"): Stage.UPLOAD,
    (Stage.UPLOAD, "new_session"): Stage.CLOSE,
    (Stage.UPLOAD, "start_over"): Stage.CLOSE,
    (Stage.UPLOAD, "reconcile"): Stage.CLOSE,
    (Stage.LOOK, "not_attached"): Stage.LOOK,
}


# Bytes of a request beside the file's own, rounded up generously.
_ENVELOPE = 4_096


def bytes_sent_by(stage: Stage, job: Job, offset: int) -> int:
    """The most bytes that the stage's activity gives the mailbox, from ``offset`` on."""
    match stage:
        case Stage.UPLOAD:
            return min(job.activity_bytes, job.size - offset)
        case Stage.POST:
            # As base64.
            return (job.size + 2) // 3 * 4 + _ENVELOPE
        case Stage.CREATE:
            return _ENVELOPE
        case _:
            return 0


@dataclass(frozen=True, slots=True)
class Pause:
    """A wait before the next step, in seconds: a backoff that grows with the tries.

    Never less than ``retry_after``, which the far side asked for, nor more than ``at_most``.
    """

    tries: int
    retry_after: float = 0.0
    at_most: float = float("inf")


@dataclass(frozen=True, slots=True)
class End:
    """How it ended; the fields of the transfer's status that say so."""

    state: State
    bytes_sent: int
    attachment_id: str | None = None
    error: Failure | None = None

    def status(self) -> dict[str, object]:
        """The fields, by name."""
        return {
            "state": self.state,
            "bytes_sent": self.bytes_sent,
            "attachment_id": self.attachment_id,
            "error": self.error,
        }
