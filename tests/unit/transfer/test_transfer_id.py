"""The instance id of a transfer: what makes two transfers different."""

from dataclasses import replace

import pytest

from shared.storage.source_container import SourceBlob, SourceContainer
from shared.transfer.transfer_id import instance_id
from tests.memory_storage import MemoryContainer
from tests.virtual_engine import VirtualClock

ITEM = "a@contoso.com/messages/M"
BLOB = SourceBlob(
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


def container(account: str = "one", name: str = "source") -> SourceContainer:
    memory = MemoryContainer(name, VirtualClock())
    memory.account_name = account
    return SourceContainer(memory.as_client())


ID = instance_id(container(), BLOB, ITEM)


@pytest.mark.parametrize(
    "other",
    [
        instance_id(container(account="two"), BLOB, ITEM),
        instance_id(container(name="other"), BLOB, ITEM),
        instance_id(container(), replace(BLOB, name="in/other.pdf"), ITEM),
        instance_id(container(), replace(BLOB, created="2026-11-22T10:00:01+00:00"), ITEM),
        instance_id(container(), replace(BLOB, size=6), ITEM),
        instance_id(container(), replace(BLOB, md5=""), ITEM),
        instance_id(container(), BLOB, "a@contoso.com/messages/N"),
        instance_id(container(), BLOB, ITEM, "once more"),
    ],
    ids=["account", "container", "name", "creation", "size", "MD5", "item", "attempt key"],
)
def test_each_part_of_the_identity_makes_another_transfer(other: str) -> None:
    """One task hub can serve several storage accounts: equal blobs of two are two transfers."""
    assert other != ID


def test_metadata_makes_no_other_transfer() -> None:
    """Anybody's metadata write changes the ETag; a duplicate of the event keeps its id."""
    written = replace(BLOB, etag='"0x2"', metadata={"seen": "yes"})
    assert instance_id(container(), written, ITEM) == ID
