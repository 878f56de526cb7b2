"""All errors of the app, as one tree; those of other modules are listed with the module's path.

TransferError                      code and sentence, as users and blob records see them
├── Permanent                      somebody has to change something first; never retried
│   ├── Unaddressed                the blob names no item
│   ├── ContradictoryAddress       it names two, half of one, or a malformed one
│   ├── MailboxNotAllowed          no pattern of ALLOWED_MAILBOXES matches the mailbox
│   ├── InvalidRequest             a request with invalid fields, each fault by name
│   ├── BlobNotFound               a request names a blob that does not exist
│   ├── TransferNotFound           no such transfer, or its history has been purged
│   ├── TransferOver               a transfer that has ended cannot be cancelled
│   ├── UnsupportedBlob            page, append or archived blob
│   │   ├── UnreadableBlob         shared/storage/storage_errors: storage refuses this blob for good
│   │   └── FolderMarker           shared/transfer/admission: stands for a folder, not for a file
│   ├── ContentUncertain           shared/transfer/activities/blob_reader: the MD5 proves nothing
│   ├── InvalidBlobName            shared/storage/source_container: '.' or '..' as a folder
│   ├── BlobDeleted                the blob is gone
│   ├── RecordNotWritable          shared/storage/attachment_record: refused as metadata
│   ├── AttachmentTooLarge         MAX_ATTACHMENT_BYTES
│   ├── MailboxLimitExceeded       the mailbox's own limit, set by its administrator
│   ├── ItemNotFound               no such mailbox, message or event
│   ├── NotADraft                  shared/transfer/activities/attempts: a message sent or received
│   ├── PermissionMissing          Mail.ReadWrite, Calendars.ReadWrite, Storage Blob Delegator
│   ├── UploadHostNotAllowed       the host of the upload URL is not on the list
│   ├── UploadSessionsUnavailable  this cloud accepts small files only
│   ├── GraphRefused               any other refusal, with Graph's own code
│   │   └── GraphFailing           shared/transfer/retry_table: failed at every try, with no reason
│   ├── AttachmentNotFound         the transfer has none, or the item no longer holds it
│   ├── DownloadTooLarge           MAX_DOWNLOAD_BYTES
│   ├── Removed                    shared/storage/attachment_record: recorded, never raised
│   ├── DeadlineExceeded           TRANSFER_DEADLINE_MINUTES or QUEUE_DEADLINE_HOURS
│   ├── OutcomeUnknown             it cannot be determined whether the file is attached
│   └── InternalError              a bug of this app
├── Superseded                     the blob was overwritten; the new content has its own transfer
├── StaleDelivery                  shared/transfer/activities/claims: a later run or attempt decides
├── GraphUnavailable               the caller can try again; carries retry_after
└── StorageUnavailable             worth another try; carries status and code
    ├── StorageNotFound            shared/storage/storage_errors: no such blob or container
    ├── StorageDenied              shared/storage/storage_errors: the identity lacks a role
    ├── ContainerTaken             shared/storage/source_container: another deployment's files
    ├── DocumentConflict           shared/storage/documents: another delivery wrote the row
    └── LedgerUnreadable           shared/storage/ledger: a row that another program wrote
BlobChanged                        shared/storage/storage_errors: the ETag is another one now
ResponseTooLarge                   shared/outlook/graph_http: more bytes than the limit
NeverSent                          shared/outlook/connections: no byte of a request was sent
UnreadableContent                  shared/outlook/content_coding: cannot be decoded
Throttled                          shared/transfer/activities/find_attachment: wait first
AlreadyAttached                    shared/transfer/activities/claims: the ledger says so
RestartRequired                    shared/transfer/activities/blob_reader: content may have changed
MalformedEvent                     shared/triggers/event_grid: not what its type promises
DroppedEvent                       shared/triggers/event_grid: valid, but not for this app
SettingsError                      invalid app settings, all faults at once
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from shared.one_line import one_line


class TransferError(Exception):
    """An error with a stable code, and a sentence that says what to change.

    ``code`` is what records, HTTP responses and logs show: the class's name, unless the class
    statement names the published code of another error.
    """

    code: ClassVar[str] = "TransferError"

    def __init_subclass__(cls, *, code: str = "", **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls.code = code or cls.__name__

    def __init__(self, sentence: str) -> None:
        # Sentences quote blobs' names and answers of servers. They are log entries of one line.
        self.sentence = one_line(sentence)
        super().__init__(self.sentence)


class Permanent(TransferError):
    """Retrying is useless until somebody changes something."""


class Unaddressed(Permanent):
    """Raised when neither the request, the metadata nor the path names an item."""


class ContradictoryAddress(Permanent):
    """Raised when a blob names two items, half of one, or a malformed one."""


class MailboxNotAllowed(Permanent):
    """Raised when no pattern of ALLOWED_MAILBOXES matches the mailbox."""

    def __init__(self, mailbox: str) -> None:
        advice = "An administrator can add it to the app setting ALLOWED_MAILBOXES."
        super().__init__(f"Mailbox {mailbox} is not allowed. {advice}")


@dataclass(frozen=True, slots=True)
class FieldFault:
    """What is wrong with one field of a request; ``field`` is empty for the whole request."""

    field: str
    message: str


class InvalidRequest(Permanent):
    """Raised for a request with invalid fields; ``details`` names every fault."""

    def __init__(self, details: Sequence[FieldFault]) -> None:
        super().__init__("The request cannot be understood. Correct what the details name.")
        self.details = tuple(details)


class BlobNotFound(Permanent):
    """Raised when a request names a blob that is not in the source container."""

    def __init__(self, blob: str) -> None:
        super().__init__(f"There is no blob {blob} in the source container. Upload it first.")


class TransferNotFound(Permanent):
    """Raised when no transfer has that id, or its history has been purged."""

    def __init__(self, transfer_id: str) -> None:
        super().__init__(f"There is no transfer {transfer_id}; its history may have been purged.")


class TransferOver(Permanent):
    """Raised when a transfer that is to be cancelled has ended already."""

    def __init__(self, transfer_id: str, state: str) -> None:
        super().__init__(f"Transfer {transfer_id} is {state}, so it can no longer be cancelled.")


class UnsupportedBlob(Permanent):
    """Raised for page, append and archived blobs."""


class BlobDeleted(Permanent):
    """Raised when the blob is gone."""

    def __init__(self, blob: str) -> None:
        super().__init__(f"The blob {blob} does not exist any more. Upload it again.")


class AttachmentTooLarge(Permanent):
    """Raised before any call to Graph when the blob is larger than the app's own limit."""

    def __init__(self, size: int, limit: int) -> None:
        limits = f"The file has {size:,} bytes; the limit is {limit:,} bytes."
        super().__init__(f"{limits} Send a smaller file, or a link to it.")


class MailboxLimitExceeded(Permanent):
    """Raised when Outlook says that the message or the mailbox would grow too large."""


class ItemNotFound(Permanent):
    """Raised when Graph finds no such mailbox, message or event."""


class PermissionMissing(Permanent):
    """Raised when Graph, or storage for an upload link, denies access to the app's identity."""


class UploadHostNotAllowed(Permanent):
    """Raised before a byte is sent to an upload URL whose host is not allowed."""


class UploadSessionsUnavailable(Permanent):
    """Raised where a cloud offers no upload sessions for attachments."""


class GraphRefused(Permanent):
    """Raised when Graph or Outlook refuses a request, and no other class says why."""


class AttachmentNotFound(Permanent):
    """Raised when a transfer has no attachment, or its item no longer holds it."""


class DownloadTooLarge(Permanent):
    """Raised when an attachment is larger than the app's limit for downloads."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The attachment has more than the {limit:,} bytes of the app setting "
            "MAX_DOWNLOAD_BYTES. Open it in Outlook."
        )


class DeadlineExceeded(Permanent):
    """The end of a transfer that did not finish within its time limit."""


class OutcomeUnknown(Permanent):
    """Raised when it cannot be determined whether the file was attached."""

    def __init__(self, details: str = "") -> None:
        super().__init__(
            "It cannot be determined whether the file was attached. Look at the item in Outlook; "
            f"if the file is missing, upload it again.{details}"
        )


class InternalError(Permanent):
    """A bug of this app: the transfer ends, the log has the details."""

    def __init__(self, transfer_id: str) -> None:
        super().__init__(
            "The app failed with an internal error. Report it with the log entries of transfer "
            f"{transfer_id}, then upload the file again."
        )


class Superseded(TransferError):
    """Raised when the blob's content is no longer the content this transfer began with."""

    def __init__(self, blob: str) -> None:
        super().__init__(f"The blob {blob} was overwritten; its new content has its own transfer.")


class GraphUnavailable(TransferError):
    """Raised when Graph failed a caller's request for now; ``retry_after`` is whole seconds."""

    def __init__(self, reason: str, retry_after: int) -> None:
        seconds = "a second" if retry_after == 1 else f"{retry_after} seconds"
        text = f"Graph is throttling this app or is unavailable ({reason})."
        super().__init__(f"{text} Try again in {seconds}.")
        self.retry_after = retry_after


class StorageUnavailable(TransferError):
    """Raised when Azure Storage failed a request for now; with the response's status and code."""

    def __init__(self, sentence: str, *, status: int | None = None, storage_code: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.storage_code = storage_code


class SettingsError(Exception):
    """Raised at startup; names every invalid app setting and what it should be."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n- ".join(("These app settings need a change:", *faults)))
        self.faults = tuple(faults)
