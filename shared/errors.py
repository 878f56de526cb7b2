"""Why a transfer can end without an attachment, as one tree.

TransferError                      code and sentence, as the blob's record shows them
├── Permanent                      somebody must change something; never retried
│   ├── Unaddressed                the blob names no item
│   ├── ContradictoryAddress       it names two, half of one, or a malformed one
│   ├── MailboxNotAllowed          ALLOWED_MAILBOXES does not name the mailbox
│   ├── UnsupportedBlob            page, append or archived blob
│   ├── BlobDeleted                the blob is gone
│   ├── AttachmentTooLarge         MAX_ATTACHMENT_BYTES
│   ├── MailboxLimitExceeded       the mailbox's own limit, set by its administrator
│   ├── ItemNotFound               no such mailbox, message or event
│   ├── PermissionMissing          Mail.ReadWrite, Calendars.ReadWrite, Storage Blob Delegator
│   ├── UploadHostNotAllowed       the upload URL names a host that is not on the list
│   ├── UploadSessionsUnavailable  this cloud takes small files only
│   ├── GraphRefused               any other refusal, with Graph's own code
│   ├── AttachmentNotFound         the transfer has none, or it is gone from the item
│   ├── DownloadTooLarge           MAX_DOWNLOAD_BYTES
│   ├── Removed                    attached once, then removed on request
│   ├── DeadlineExceeded           TRANSFER_DEADLINE_MINUTES
│   ├── OutcomeUnknown             attached or not: nobody can tell
│   └── InternalError              a bug of this app
├── Superseded                     overwritten meanwhile; the new content has its own transfer
├── GraphUnavailable               worth another try by whoever asked; carries retry_after
└── StorageUnavailable             worth another try
SettingsError                      app settings that cannot work, every fault at once
"""

from collections.abc import Sequence
from dataclasses import dataclass


class TransferError(Exception):
    """A reason with a stable code, and a sentence that says what to change."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence

    @property
    def code(self) -> str:
        """The stable name that records, answers and logs use."""
        return type(self).__name__


class Permanent(TransferError):
    """Trying again changes nothing until somebody changes something."""


class Unaddressed(Permanent):
    """Raised when neither the request, the metadata nor the path names an item."""


class ContradictoryAddress(Permanent):
    """Raised when a blob names two items, half of one, or a malformed one."""


class MailboxNotAllowed(Permanent):
    """Raised when no pattern of ALLOWED_MAILBOXES matches the mailbox."""

    def __init__(self, mailbox: str) -> None:
        super().__init__(
            f"Mailbox {mailbox} is not allowed. "
            "An administrator can add it to the app setting ALLOWED_MAILBOXES."
        )


@dataclass(frozen=True, slots=True)
class FieldFault:
    """What is wrong with one field of a request; ``field`` is empty for the whole of it."""

    field: str
    message: str


class InvalidRequest(Permanent):
    """Raised when a request cannot be understood; ``details`` names every fault."""

    def __init__(self, details: Sequence[FieldFault]) -> None:
        super().__init__("The request cannot be understood. Correct what the details name.")
        self.details = tuple(details)


class BlobNotFound(Permanent):
    """Raised when a request names a blob that is not in the source container."""

    def __init__(self, blob: str) -> None:
        super().__init__(f"There is no blob {blob} in the source container. Upload it first.")


class TransferNotFound(Permanent):
    """Raised when no transfer has that id, or none any more."""

    def __init__(self, transfer_id: str) -> None:
        super().__init__(f"There is no transfer {transfer_id}; its history may have been purged.")


class TransferOver(Permanent):
    """Raised when a transfer that is to be cancelled has ended already."""

    def __init__(self, transfer_id: str, state: str) -> None:
        super().__init__(
            f"Transfer {transfer_id} has ended already: it is {state}, and cannot be cancelled."
        )


class UnsupportedBlob(Permanent):
    """Raised for page, append and archived blobs."""


class BlobDeleted(Permanent):
    """Raised when the blob is gone."""

    def __init__(self, blob: str) -> None:
        super().__init__(f"The blob {blob} does not exist any more. Upload it again.")


class AttachmentTooLarge(Permanent):
    """Raised before any call to Graph when the blob is larger than the app's own limit."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"The file has {size:,} bytes; the limit is {limit:,} bytes. "
            "Send a smaller file, or a link to it."
        )


class MailboxLimitExceeded(Permanent):
    """Raised when Outlook says that the message or the mailbox would grow too large."""


class ItemNotFound(Permanent):
    """Raised when Graph knows no such mailbox, message or event."""


class PermissionMissing(Permanent):
    """Raised when Graph, or storage for an upload, refuses this app's identity."""


class UploadHostNotAllowed(Permanent):
    """Raised before a byte is sent to an upload URL whose host nobody allowed."""


class UploadSessionsUnavailable(Permanent):
    """Raised where a cloud offers no upload sessions for attachments."""


class GraphRefused(Permanent):
    """Raised for a refusal that has no code of its own here."""


class AttachmentNotFound(Permanent):
    """Raised when a transfer has no attachment, or its item does not hold it any more."""


class DownloadTooLarge(Permanent):
    """Raised when an attachment is larger than what the app hands through."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The attachment has more than the {limit:,} bytes of the app setting "
            "MAX_DOWNLOAD_BYTES. Open it in Outlook."
        )


class Removed(Permanent):
    """What a record says of an attachment that was removed from its item on request."""

    def __init__(self) -> None:
        super().__init__(
            "The attachment was removed from its item on request. "
            "To attach the file again, order a transfer of it or upload it again."
        )


class DeadlineExceeded(Permanent):
    """Raised when a transfer has not come to an end within its time."""


class OutcomeUnknown(Permanent):
    """Raised when it cannot be known whether the file was attached."""


class InternalError(Permanent):
    """Raised for a bug of this app: the transfer ends, the log has the details."""

    def __init__(self, transfer_id: str) -> None:
        super().__init__(
            "The app met an error of its own. Report it with the log entries of transfer "
            f"{transfer_id}, then upload the file again."
        )


class Superseded(TransferError):
    """Raised when the blob's content is no longer the content this transfer began with."""

    def __init__(self, blob: str) -> None:
        super().__init__(f"The blob {blob} was overwritten; its new content has its own transfer.")


class GraphUnavailable(TransferError):
    """Raised to somebody who waits, when Graph did not do what was asked, for now.

    ``retry_after`` is in whole seconds, at least one.
    """

    def __init__(self, said: str, retry_after: int) -> None:
        seconds = "a second" if retry_after == 1 else f"{retry_after} seconds"
        super().__init__(
            f"Graph is throttling this app or is unavailable ({said}). Try again in {seconds}."
        )
        self.retry_after = retry_after


class StorageUnavailable(TransferError):
    """Raised when Azure Storage did not do what was asked, for now.

    ``status`` and ``storage_code`` are its own words; None and empty when it did not answer.
    """

    def __init__(self, sentence: str, *, status: int | None = None, storage_code: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.storage_code = storage_code


class SettingsError(Exception):
    """Raised at start, naming every app setting that cannot work and what it should be."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(
            "These app settings need a change:\n" + "\n".join(f"- {f}" for f in faults)
        )
        self.faults = tuple(faults)
