"""What may be attached: the checks that need no call to Graph."""

from shared.errors import AttachmentTooLarge, MailboxNotAllowed, UnsupportedBlob
from shared.settings import Settings
from shared.storage.source_blob import SourceBlob


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


def check_blob(settings: Settings, blob: SourceBlob) -> None:
    """Raise :class:`UnsupportedBlob` or :class:`AttachmentTooLarge` for what cannot be sent."""
    if blob.kind != "BlockBlob":
        raise UnsupportedBlob(
            f"The blob is of kind {blob.kind}; only block blobs can be attached. "
            "Upload it as a block blob."
        )
    if blob.archived:
        raise UnsupportedBlob(
            "The blob is in the archive tier and cannot be read. Rehydrate it, upload it again."
        )
    check_size(settings, blob.size)
