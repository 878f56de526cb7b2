"""What may be attached, as far as it can be known without Graph."""

from dataclasses import replace

import pytest

from shared.errors import AttachmentTooLarge, MailboxNotAllowed, TransferError, UnsupportedBlob
from shared.settings import Settings
from shared.storage.source_blob import SourceBlob
from shared.transfer.admission import check_blob, check_mailbox, check_size

SETTINGS = Settings.model_validate(
    {"allowed_mailboxes": "*@contoso.com", "max_attachment_bytes": 10}
)
BLOB = SourceBlob(
    account="a",
    container="c",
    name="x",
    etag="0x1",
    size=10,
    content_type="application/pdf",
    created="2026-11-22T10:00:00+00:00",
    md5="",
    kind="BlockBlob",
    archived=False,
    metadata={},
)


def test_what_may_be_attached_passes() -> None:
    """An allowed mailbox, a block blob, and the last byte that is allowed."""
    check_mailbox(SETTINGS, "A@contoso.com")
    check_size(SETTINGS, 10)
    check_blob(SETTINGS, BLOB)


def test_another_mailbox_is_refused() -> None:
    """With the setting that an administrator can change."""
    with pytest.raises(MailboxNotAllowed, match="ALLOWED_MAILBOXES"):
        check_mailbox(SETTINGS, "a@fabrikam.com")


@pytest.mark.parametrize(
    ("blob", "error"),
    [
        (replace(BLOB, size=11), AttachmentTooLarge),
        (replace(BLOB, kind="PageBlob"), UnsupportedBlob),
        (replace(BLOB, kind="AppendBlob"), UnsupportedBlob),
        (replace(BLOB, archived=True), UnsupportedBlob),
    ],
)
def test_a_blob_that_cannot_be_sent_is_refused(
    blob: SourceBlob, error: type[TransferError]
) -> None:
    """Too large, no block blob, or archived."""
    with pytest.raises(error):
        check_blob(SETTINGS, blob)
