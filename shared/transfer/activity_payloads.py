"""What the orchestrator and the activities hand each other.

Kept in Durable's history like every payload: no upload URL, no token and no content is ever a
field here. An ``alias`` is the key that histories of version 1.0 have for the field.
"""

from typing import Literal, Protocol

from pydantic import Field

from shared.errors import StorageUnavailable
from shared.outlook.item import ItemType, OutlookFile, OutlookItem
from shared.transfer.payloads import (
    BlobVersion,
    Failure,
    ItemAddress,
    Payload,
    RecordedStatus,
    TransferRequest,
    TransferStatus,
)


class Inspect(Payload):
    """The input of ``inspect_blob``."""

    transfer_id: str
    request: TransferRequest


class Job(ItemAddress):
    """One blob going to one item, as ``inspect_blob`` found it allowed.

    ``etag`` pins the content, ``created`` and ``md5`` recognise it after its metadata changed.
    ``attempt`` numbers the tries to attach it, from 1 on; ``unsure`` says that an earlier one may
    have attached it after all. The settings' seconds come through the history, so that a replay
    sees the same figures. For those who watch: ``waited_seconds`` was the wait for the turn of
    the activity that is given this job, and ``near_deadline`` says that it is the first one after
    four fifths of ``deadline_seconds``.
    """

    transfer_id: str
    blob: str
    etag: str
    created: str
    md5: str
    size: int
    # Every job has an item.
    mailbox: str
    item_type: ItemType
    item_id: str
    file_name: str
    content_type: str
    content_id: str | None = None
    attempt: int = 1
    unsure: bool = False
    activity_bytes: int
    queue_seconds: float
    deadline_seconds: float
    reconcile_seconds: float
    waited_seconds: float = 0.0
    near_deadline: bool = False

    @property
    def content(self) -> BlobVersion:
        """The blob's content as ``inspect_blob`` found it."""
        return BlobVersion(created=self.created, size=self.size, md5=self.md5)

    @property
    def item(self) -> OutlookItem:
        """The item that receives the file."""
        item = super().item
        if item is None:
            raise ValueError("a job names its item")
        return item

    @property
    def file(self) -> OutlookFile:
        """The file as Outlook is told of it."""
        return OutlookFile(self.file_name, self.size, self.content_type, self.content_id)


class Inspection(Payload):
    """What ``inspect_blob`` found: a job to do, the end the transfer already has, or neither yet.

    ``record`` is the status under which that end must be written to the metadata, if it is news.
    ``unavailable`` says why the blob could not be looked at for now.
    """

    job: Job | None = None
    ended: TransferStatus | None = None
    record: RecordedStatus | None = None
    unavailable: Failure | None = None


class TransferWork(Protocol):
    """The input of an activity: it names its transfer."""

    @property
    def transfer_id(self) -> str:
        """The transfer's id."""


class UploadRanges(Payload):
    """The input of ``upload_ranges``: go on at ``offset`` bytes of the job's upload session."""

    job: Job
    offset: int

    @property
    def transfer_id(self) -> str:
        """The transfer's id."""
        return self.job.transfer_id


class FindAttachment(Payload):
    """The input of ``find_attachment``; ``is_last_attempt`` when there will be no other look.

    ``noted``: the transfer's notes are known to have been made. Where they need not have been,
    and are not there, nothing was sent.
    """

    job: Job
    is_last_attempt: bool = Field(default=False, alias="finally_")
    noted: bool = True

    @property
    def transfer_id(self) -> str:
        """The transfer's id."""
        return self.job.transfer_id


class CancelUploadSession(Payload):
    """The input of ``cancel_upload_session``.

    ``forget`` what was noted, too, at the transfer's end; ``whatever`` Outlook says, at last.
    ``resting``: the far side has asked for a rest that is not over, and is not to be asked.
    """

    transfer_id: str
    delete_notes: bool = Field(default=False, alias="forget")
    resting: bool = False
    best_effort: bool = Field(default=False, alias="whatever")


Outcome = Literal[
    "attached",
    "progress",
    "retry",
    "new_session",
    "start_over",
    "reconcile",
    "not_attached",
    "session_instead",
    "post_instead",
    "superseded",
    "recorded",
    "failed",
]


class ActivityResult(Payload):
    """What one activity achieved, or what it says should happen next.

    ``offset``: bytes that Outlook has; ``sent``: bytes of ranges that went out. ``etag``: the
    content's new ETag, when its metadata was written meanwhile. ``retry_after``: before the next
    step; None leaves it to the orchestrator's backoff. ``tries``: how often such a step is worth
    repeating without progress; None until the deadline. ``failure``: how the transfer ends if
    this was its last step. ``otherwise``: what this step would have been, had it been certain that
    the file is not attached.
    """

    outcome: Outcome
    offset: int = 0
    sent: int = 0
    etag: str | None = None
    attachment_id: str | None = None
    retry_after: float | None = Field(default=None, alias="waitSeconds")
    tries: int | None = None
    failure: Failure | None = None
    otherwise: "ActivityResult | None" = None

    @property
    def is_of_storage(self) -> bool:
        """Whether it is the near side that failed."""
        return self.failure is not None and self.failure.code == StorageUnavailable.__name__


class RecordAttachment(Payload):
    """The input of ``record_attachment``: the end of a transfer, for the blob's metadata.

    ``content`` is the one that the transfer was asked for.
    """

    transfer_id: str
    content: BlobVersion | None = None
    status: TransferStatus
    record: RecordedStatus

    @property
    def item(self) -> str:
        """The item as text, empty when there is none."""
        return str(self.status.item or "")
