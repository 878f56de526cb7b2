"""What may be attached: the checks that need no call to Graph."""

from shared.errors import (
    AttachmentTooLarge,
    MailboxNotAllowed,
    StorageUnavailable,
    UnsupportedBlob,
)
from shared.settings import Settings
from shared.storage.source_blob import SourceBlob
from shared.storage.storage_errors import ARCHIVED

_FOLDER_KEY = "hdi_isfolder"
# The metadata key of a blob that may have so many bytes only: it comes by an upload link.
EXPECTED_SIZE = "expectedsize"


class FolderMarker(UnsupportedBlob, code="UnsupportedBlob"):
    """Raised for a blob that stands for a folder. Triggers of blobs skip it without a warning."""

    def __init__(self) -> None:
        super().__init__("The blob stands for a folder, not for a file. Name a file in it.")


def check_name(name: str) -> None:
    """Raise :class:`FolderMarker` for a name that only a folder has."""
    if name.endswith("/"):
        raise FolderMarker


def check_is_file(blob: SourceBlob) -> None:
    """Raise :class:`FolderMarker` for a directory, and for what Hadoop's drivers write for one."""
    marked = [value for key, value in blob.metadata.items() if key.lower() == _FOLDER_KEY]
    if blob.is_directory or any(value.strip().lower() == "true" for value in marked):
        raise FolderMarker


def check_mailbox(settings: Settings, mailbox: str) -> None:
    """Raise :class:`MailboxNotAllowed` unless ALLOWED_MAILBOXES names the mailbox.

    Callers check this first: the other checks reveal something about blobs.
    """
    if not settings.allows(mailbox):
        raise MailboxNotAllowed(mailbox)


def check_size(settings: Settings, size: int) -> None:
    """Raise :class:`AttachmentTooLarge` for more bytes than MAX_ATTACHMENT_BYTES."""
    if size > settings.max_attachment_bytes:
        raise AttachmentTooLarge(size, settings.max_attachment_bytes)


def check_copied(blob: SourceBlob) -> None:
    """Raise :class:`StorageUnavailable` while the blob is being copied: it has no content yet."""
    if blob.is_copying:
        raise StorageUnavailable(
            f"The blob {blob.name} is still being copied. Wait for the end of the copy."
        )


def check_blob(settings: Settings, blob: SourceBlob) -> None:
    """Raise :class:`UnsupportedBlob` or :class:`AttachmentTooLarge` for what cannot be sent."""
    if blob.kind != "BlockBlob":
        raise UnsupportedBlob(
            f"The blob is of kind {blob.kind}; only block blobs can be attached. "
            "Upload it as a block blob."
        )
    if blob.copy_status in {"failed", "aborted"}:
        raise UnsupportedBlob(
            f"The copy that should make the blob is {blob.copy_status}, so it has no content. "
            "Copy or upload it again."
        )
    if blob.archived:
        raise UnsupportedBlob(ARCHIVED)
    check_size(settings, blob.size)
    _check_expected_size(blob)


def has_expected_size(blob: SourceBlob) -> bool:
    """Whether the blob says how many bytes it has, so that it is complete: see EXPECTED_SIZE."""
    return str(blob.size) in _expected_sizes(blob)


def _check_expected_size(blob: SourceBlob) -> None:
    expected = _expected_sizes(blob)
    if expected - {str(blob.size)}:
        raise UnsupportedBlob(
            f"The blob has {blob.size:,} bytes, and its upload link was for "
            f"{', '.join(sorted(expected))}. Request a link for the file as it is."
        )


def _expected_sizes(blob: SourceBlob) -> set[str]:
    return {value for key, value in blob.metadata.items() if key.lower() == EXPECTED_SIZE}
