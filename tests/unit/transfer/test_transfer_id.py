"""The instance id of a transfer: what makes two transfers different."""

from dataclasses import replace

import pytest

from shared.storage.source_blob import SourceBlob
from shared.transfer.transfer_id import instance_id

ITEM = "a@contoso.com/messages/M"
BLOB = SourceBlob(
    account="one",
    container="source",
    name="in/report.pdf",
    etag='"0x1"',
    size=5,
    content_type="application/pdf",
    created="2026-11-22T10:00:00+00:00",
    md5="5d41402abc4b2a76b9719d911017c592",
    kind="BlockBlob",
    archived=False,
    metadata={},
)


ID = instance_id(BLOB, ITEM)


@pytest.mark.parametrize(
    "other",
    [
        instance_id(replace(BLOB, account="two"), ITEM),
        instance_id(replace(BLOB, container="other"), ITEM),
        instance_id(replace(BLOB, name="in/other.pdf"), ITEM),
        instance_id(replace(BLOB, created="2026-11-22T10:00:01+00:00"), ITEM),
        instance_id(replace(BLOB, size=6), ITEM),
        instance_id(replace(BLOB, md5=""), ITEM),
        instance_id(BLOB, "a@contoso.com/messages/N"),
        instance_id(BLOB, ITEM, "once more"),
    ],
    ids=["account", "container", "name", "creation", "size", "MD5", "item", "attempt key"],
)
def test_each_part_of_the_identity_makes_another_transfer(other: str) -> None:
    """One task hub can serve several storage accounts: equal blobs of two are two transfers."""
    assert other != ID


def test_metadata_makes_no_other_transfer() -> None:
    """Anybody's metadata write changes the ETag; a duplicate of the event keeps its id."""
    written = replace(BLOB, etag='"0x2"', metadata={"seen": "yes"})
    assert instance_id(written, ITEM) == ID
