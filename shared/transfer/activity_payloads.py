"""The inputs and results of the activities.

They are stored in Durable's history: no upload URL, no token and no content may be a field here.
An ``alias`` is the field's key in histories of version 1.0.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

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

# Smaller files are sent by one POST. Outlook's exact limit is not published, so either kind of
# request may be refused in favour of the other. As base64, this size fits a request of 4 MB.
SMALL_FILE_BYTES = 3_000_000
# Bytes of a request besides the file, rounded up generously.
ENVELOPE_BYTES = 4_096


class Inspect(Payload):
    """The input of ``inspect_blob``; ``run``: see :class:`Job`.

    ``waited``: it was waited long enough, for an empty blob or another transfer of its name.
    """

    transfer_id: str
    request: TransferRequest
    run: str = ""
    waited: bool | None = None


class Job(ItemAddress):
    """One blob to attach to one item, after the checks of ``inspect_blob``.

    ``etag`` pins the content; ``created`` and ``md5`` identify it after its metadata changed.
    ``attempt`` counts the attempts to attach it, from 1; ``unsure``: an earlier one may have
    attached it. ``content_doubted``: an earlier run has attached this content, or one that cannot
    be distinguished by its properties. ``same_path``: other transfers of this blob name to this
    item that may have attached the same bytes. ``run`` is when the orchestration began, as ISO 8601
    text in UTC: a fencing token, since a transfer that is started anew has a later one. It is empty
    for transfers of version 1.0, whose orchestrator holds the locks; later ones acquire them in
    their activities. The settings are part of the history: all deliveries decide by the same.
    ``session_at_last``: if the POSTs of a small file fail at every try, a session is tried; without
    it, the transfer ends there. For the telemetry: ``waited_seconds`` is how long the next activity
    waited for its locks, and ``near_deadline`` marks the first activity after four fifths of
    ``deadline_seconds``.
    """

    transfer_id: str
    blob: str
    etag: str
    created: str
    md5: str
    size: int
    mailbox: str
    item_type: ItemType
    item_id: str
    file_name: str
    content_type: str
    content_id: str | None = None
    attempt: int = 1
    unsure: bool = False
    content_doubted: bool = False
    same_path: tuple[str, ...] = ()
    run: str = ""
    small_file_bytes: int = SMALL_FILE_BYTES
    range_bytes: int | None = None
    activity_bytes: int
    queue_seconds: float
    deadline_seconds: float
    reconcile_seconds: float
    waited_seconds: float = 0.0
    near_deadline: bool = False
    session_at_last: bool = False

    @property
    def is_small(self) -> bool:
        """Whether the file is sent by one POST."""
        return self.size < self.small_file_bytes

    @property
    def post_bytes(self) -> int:
        """The most bytes of the POST that sends the file as base64."""
        return (self.size + 2) // 3 * 4 + ENVELOPE_BYTES

    @property
    def content(self) -> BlobVersion:
        """The content at the time of ``inspect_blob``."""
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
        """The file as requests describe it."""
        return OutlookFile(self.file_name, self.size, self.content_type, self.content_id)


class Inspection(Payload):
    """The result of ``inspect_blob``: a job, the end of the transfer, or neither yet.

    ``record`` is the status to write to the blob's metadata, None if that is not needed.
    ``session_left``: the end comes while an upload session of an earlier run is open.
    ``unavailable`` is why the blob could not be inspected for now; ``patience`` is how many seconds
    that is worth waiting, None as long as for storage.
    """

    job: Job | None = None
    ended: TransferStatus | None = None
    record: RecordedStatus | None = None
    session_left: bool = False
    unavailable: Failure | None = None
    patience: float | None = None


class UploadRanges(Payload):
    """The input of ``upload_ranges``: ``offset`` is the position in the upload session."""

    job: Job
    offset: int

    @property
    def transfer_id(self) -> str:
        """The transfer's id."""
        return self.job.transfer_id

    @property
    def most_bytes(self) -> int:
        """The most bytes of the ranges of this activity."""
        return min(self.job.activity_bytes, self.job.size - self.offset)

    @property
    def is_later_and_last(self) -> bool:
        """Whether the file needs no activity after this one, but needed others before it."""
        return self.offset > 0 and self.offset + self.most_bytes == self.job.size


class FindAttachment(Payload):
    """The input of ``find_attachment``; ``is_last_attempt``: there will be no other search.

    ``noted``: the transfer's notes are known to have been written. If they may not have been, and
    do not exist, nothing was sent.
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

    ``delete_notes``: the transfer has ended, so its notes are deleted as well; ``best_effort``:
    even if the session cannot be deleted. ``must_wait``: a Retry-After of the mailbox is not over,
    so that no request is sent. ``is_unknown``: at the end, the file may be attached. ``job`` says
    which run and attempt the session is of. Without a job, it is one that an earlier run than
    ``run`` has left; histories of version 1.0 have neither.
    """

    transfer_id: str
    job: Job | None = None
    run: str | None = None
    delete_notes: bool = Field(default=False, alias="forget")
    must_wait: bool = Field(default=False, alias="resting")
    best_effort: bool = Field(default=False, alias="whatever")
    is_unknown: bool | None = None


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
    "locked",
]


class ActivityResult(Payload):
    """The result of an activity that takes part in attaching a file.

    ``offset``: bytes that Outlook has; ``sent``: bytes of files that this activity sent, with which
    the mailbox's budget is charged. ``etag``: the blob's new ETag, if only its metadata changed.
    ``retry_after``: seconds to wait before the next activity; None: the orchestrator's backoff.
    ``tries``: bound on such results without progress; None: until the deadline. ``failure``: how
    the transfer ends if this was its last activity. ``storage_failed``: Azure Storage failed, not
    Outlook. ``otherwise``: the result that applies once it is certain that the file is not
    attached, or once ``tries`` are spent. ``look_once``: one search without a wait is enough.
    ``may_be_attached``: the request that is to be repeated may have attached the file. ``wake``:
    the transfers that wait for a lock which this activity released.
    """

    outcome: Outcome
    offset: int = 0
    sent: int = 0
    etag: str | None = None
    attachment_id: str | None = None
    retry_after: float | None = Field(default=None, alias="waitSeconds")
    tries: int | None = None
    failure: Failure | None = None
    storage_failed: bool = False
    otherwise: "ActivityResult | None" = None
    look_once: bool = False
    may_be_attached: bool = False
    wake: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _read_1_0(cls, value: Any) -> Any:
        """Histories of version 1.0 have no ``storageFailed``: the failure's code implies it."""
        if not isinstance(value, Mapping) or {"storageFailed", "storage_failed"} & value.keys():
            return value
        failure = value.get("failure")
        code = failure.get("code") if isinstance(failure, Mapping) else None
        return {**value, "storageFailed": code == "StorageUnavailable"}
