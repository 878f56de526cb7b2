"""Writing a record: conditional on the ETag, and repeated when the blob has changed."""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from shared.errors import BlobDeleted, StorageUnavailable
from shared.storage.attachment_record import (
    AttachmentRecord,
    RecordNotWritable,
    read_record,
    write_record,
)
from shared.storage.source_blob import SourceBlob
from shared.storage.source_container import SourceContainer
from shared.storage.storage_errors import BlobChanged, WriteRules

BLOB = SourceBlob(
    account="a",
    container="c",
    name="a",
    etag="",
    size=5,
    content_type="text/plain",
    created="2026-11-22T10:00:00+00:00",
    md5="",
    kind="BlockBlob",
    archived=False,
    metadata={"owner": "me"},
)
RECORD = AttachmentRecord(status="attached", attachment_id="A", sources=("0123456789abcdef",))
OUTDATED, REFUSED = BlobChanged("outdated"), StorageUnavailable("refused")
RULES = WriteRules(
    attempts=3,
    is_outdated=lambda error: error is OUTDATED,
    is_refused=lambda error, _: error is REFUSED,
)


class Source:
    """A blob whose ETag is new at every look; its writes meet these errors first."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.looks = 0
        self.written: list[tuple[str, str, dict[str, str]]] = []

    def look(self, name: str) -> SourceBlob:
        self.looks += 1
        return replace(BLOB, name=name, etag=f"0x{self.looks}")

    def write_metadata(self, name: str, etag: str, metadata: dict[str, str]) -> None:
        if self._errors:
            raise self._errors.pop(0)
        self.written.append((name, etag, metadata))


def write(
    source: Source,
    change: Callable[[SourceBlob, AttachmentRecord], AttachmentRecord | None] = lambda *_: RECORD,
) -> AttachmentRecord | None:
    return write_record(cast("SourceContainer", source), "a", change, RULES)


def test_a_record_is_written_beside_the_users_keys() -> None:
    """Over the ETag that was seen; what was written is returned."""
    source = Source()
    assert write(source) == RECORD
    ((name, etag, metadata),) = source.written
    assert (name, etag, metadata["owner"]) == ("a", "0x1", "me")
    assert read_record(metadata) == RECORD


def test_a_record_may_stay_as_it_is() -> None:
    """Nothing is written."""
    source = Source()
    assert write(source, lambda *_: None) is None
    assert source.written == []


def test_a_blob_that_changed_is_read_again() -> None:
    """At the change, and at the write; the last of the tries counts."""
    source = Source(OUTDATED)
    seen = []

    def change(blob: SourceBlob, _: AttachmentRecord) -> AttachmentRecord:
        seen.append(blob.etag)
        if len(seen) == 1:
            raise BlobChanged("a")
        return RECORD

    assert write(source, change) == RECORD
    assert seen == ["0x1", "0x2", "0x3"]
    assert [etag for _, etag, _ in source.written] == ["0x3"]


def test_a_blob_that_changes_all_the_time_is_an_outage() -> None:
    """After three tries; the sentence names the blob."""
    source = Source(*[OUTDATED] * 9)
    with pytest.raises(StorageUnavailable, match="write the metadata of a all the time"):
        write(source)
    assert source.looks == 3


def test_metadata_that_storage_refuses_is_final() -> None:
    """Another try would be refused, too."""
    source = Source(REFUSED)
    with pytest.raises(RecordNotWritable, match="Its record cannot be written: refused"):
        write(source)
    assert source.looks == 1


@pytest.mark.parametrize("error", [BlobDeleted("a"), StorageUnavailable("away"), BlobChanged("a")])
def test_other_errors_are_the_callers(error: Exception) -> None:
    """The transfer decides what they mean."""
    source = Source(error)
    with pytest.raises(type(error)) as caught:
        write(source)
    assert caught.value is error
    assert source.looks == 1
