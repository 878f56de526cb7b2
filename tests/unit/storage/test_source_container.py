"""Reading blobs: exact slices of one content, and what is read of a blob's properties."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceRequestError,
)
from azure.storage.blob import ContainerClient

from shared.errors import BlobDeleted, StorageUnavailable
from shared.storage.source_container import InvalidBlobName, SourceContainer
from shared.storage.storage_errors import BlobChanged

CONTENT = bytes(range(256)) * 8_193


class Blob:
    """A blob whose calls and options are kept; ``error`` is raised by all of them."""

    account_name, container_name = "account", "incoming"

    def __init__(self, content: bytes = CONTENT, error: Exception | None = None) -> None:
        self.content = content
        self.error = error
        self.calls: list[tuple[Any, ...]] = []
        self.properties: dict[str, Any] = {
            "etag": "0x1",
            "size": len(content),
            "content_settings": SimpleNamespace(content_type=None, content_md5=None),
            "creation_time": datetime(2026, 11, 22, 10, tzinfo=UTC),
            "blob_type": SimpleNamespace(value="PageBlob"),
            "blob_tier": None,
            "metadata": None,
            "copy": SimpleNamespace(status=None, progress=None),
            "lease": SimpleNamespace(duration=None),
        }

    def _call(self, *call: object) -> None:
        self.calls.append(call)
        if self.error:
            raise self.error

    def get_blob_client(self, name: str) -> "Blob":
        self.calls.append(("client", name))
        return self

    def get_blob_properties(self, **_: object) -> Any:
        self._call("properties")
        return SimpleNamespace(**self.properties)

    def download_blob(self, start: int, length: int, **options: object) -> Any:
        self._call("download", start, length, options)
        part = self.content[start : start + length]
        return SimpleNamespace(chunks=lambda: iter([part[:1], part[1:]]))

    def set_blob_metadata(self, metadata: dict[str, str], **options: object) -> None:
        self._call("metadata", metadata, options)

    def list_blob_names(self, **options: object) -> Iterator[str]:
        self._call("list", options)
        return iter([])

    @property
    def source(self) -> SourceContainer:
        """The container with this blob."""
        return SourceContainer(cast("ContainerClient", self))


def answered(status: int, code: str = "") -> HttpResponseError:
    kind = ResourceNotFoundError if status == 404 else HttpResponseError
    error = kind("no")
    error.status_code = status
    error.error_code = code  # type: ignore[attr-defined]
    return error


PINNED = {"etag": "0x1", "match_condition": MatchConditions.IfNotModified}


def test_a_slice_is_read_as_it_is_stored_and_pinned_to_its_etag() -> None:
    """An empty one without a request."""
    blob = Blob()
    assert blob.source.read("a", "0x1", 3, 5) == CONTENT[3:8]
    assert blob.calls == [
        ("client", "a"),
        ("download", 3, 5, PINNED | {"decompress": False}),
    ]
    assert blob.source.read("a", "0x1", 3, 0) == b""
    assert len(blob.calls) == 2


def test_a_short_slice_is_an_outage() -> None:
    """It would be sent as a part of the file."""
    with pytest.raises(StorageUnavailable, match="returned 2 of 5 bytes of the blob a"):
        Blob(b"12345").source.read("a", "0x1", 3, 5)


def test_the_md5_is_that_of_the_bytes() -> None:
    """Read in slices of 1 MiB, all of one content."""
    blob = Blob()
    seen = blob.source.look("a")
    assert blob.source.md5_of(seen) == hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    slices = [call[1:3] for call in blob.calls if call[0] == "download"]
    assert slices == [(0, 1_048_576), (1_048_576, 1_048_576), (2_097_152, 256)]
    assert all(call[3]["etag"] == "0x1" for call in blob.calls if call[0] == "download")


def test_metadata_is_written_without_a_retry_of_the_sdk() -> None:
    """Its second try would meet the ETag of its first."""
    blob = Blob()
    blob.source.write_metadata("a", "0x1", {"k": "v"})
    assert blob.calls == [
        ("client", "a"),
        ("metadata", {"k": "v"}, PINNED | {"retry_total": 0}),
    ]


def test_missing_properties_have_defaults() -> None:
    """A blob without content type, MD5, tier and metadata."""
    seen = Blob(b"12345").source.look("a")
    assert (seen.account, seen.container, seen.name) == ("account", "incoming", "a")
    assert (seen.etag, seen.size, seen.created) == ("0x1", 5, "2026-11-22T10:00:00+00:00")
    assert (seen.content_type, seen.md5) == ("application/octet-stream", "")
    assert (seen.kind, seen.archived, seen.metadata) == ("PageBlob", False, {})


def test_properties_are_read() -> None:
    """The MD5 in hex; an archived blob cannot be read."""
    blob = Blob(b"12345")
    blob.properties |= {
        "content_settings": SimpleNamespace(content_type="text/plain", content_md5=b"\x00\xff"),
        "blob_type": "BlockBlob",
        "blob_tier": "Archive",
        "metadata": {"k": "v"},
    }
    seen = blob.source.look("a")
    assert (seen.content_type, seen.md5) == ("text/plain", "00ff")
    assert (seen.kind, seen.archived, seen.metadata) == ("BlockBlob", True, {"k": "v"})


@pytest.mark.parametrize("name", ["..", "a/../b", "a\\.\\b"])
def test_a_name_that_leads_out_of_the_container_is_refused(name: str) -> None:
    """Without a request. The sentence says what to change."""
    blob = Blob()
    for call in (
        lambda: blob.source.look(name),
        lambda: blob.source.read(name, "0x1", 0, 1),
        lambda: blob.source.write_metadata(name, "0x1", {}),
    ):
        with pytest.raises(
            InvalidBlobName, match=r"holds '\.' or '\.\.' as a folder\. Rename it\."
        ):
            call()
    assert blob.calls == []


CALLS: list[Any] = [
    lambda source: source.look("a"),
    lambda source: source.read("a", "0x1", 0, 1),
    lambda source: source.write_metadata("a", "0x1", {}),
]


@pytest.mark.parametrize("call", CALLS, ids=["look", "read", "write"])
def test_what_storage_answers_becomes_a_typed_error(call: Any) -> None:
    """A blob that is gone, one that changed, and an outage, each with the blob's name."""
    with pytest.raises(BlobDeleted, match="a"):
        call(Blob(error=answered(404)).source)
    with pytest.raises(StorageUnavailable, match=r"409 \(LeaseIdMissing\) for the blob a"):
        call(Blob(error=answered(409, "LeaseIdMissing")).source)
    with pytest.raises(StorageUnavailable, match="could not be reached for the blob a"):
        call(Blob(error=ServiceRequestError("secret")).source)


def test_a_container_can_be_read() -> None:
    """One try within the time, even if it is empty."""
    blob = Blob()
    assert blob.source.can_be_read(2.5)
    assert blob.calls == [
        (
            "list",
            {
                "results_per_page": 1,
                "retry_total": 0,
                "connection_timeout": 2.5,
                "read_timeout": 2.5,
            },
        )
    ]


def test_a_missing_container_cannot_be_read() -> None:
    """That is an answer; an outage is none."""
    assert not Blob(error=answered(404)).source.can_be_read(1)
    with pytest.raises(StorageUnavailable, match=r"503 .no code. for the blob \(any\)"):
        Blob(error=answered(503)).source.can_be_read(1)


def test_an_etag_that_changed_is_no_outage() -> None:
    """The content, or only its metadata, was written meanwhile."""
    error = ResourceModifiedError("no")
    error.status_code = 412
    error.error_code = "ConditionNotMet"  # type: ignore[attr-defined]
    with pytest.raises(BlobChanged) as caught:
        Blob(error=error).source.read("a", "0x1", 0, 1)
    assert (str(caught.value), caught.value.status) == ("a", 412)
    assert caught.value.storage_code == "ConditionNotMet"


def test_a_lease_is_an_outage_and_no_change() -> None:
    """It ends. Storage answers both with 412."""
    error = ResourceModifiedError("no")
    error.status_code = 412
    error.error_code = "LeaseIdMissing"  # type: ignore[attr-defined]
    with pytest.raises(StorageUnavailable, match="LeaseIdMissing"):
        Blob(error=error).source.write_metadata("a", "0x1", {})
