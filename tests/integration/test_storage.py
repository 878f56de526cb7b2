"""The app's storage code against a real Azurite."""

from collections.abc import Iterator
from itertools import count

import pytest
from azure.storage.blob import BlobLeaseClient, BlobServiceClient, ContainerClient

from shared.errors import BlobDeleted, StorageUnavailable
from shared.settings import StorageConnection
from shared.storage.accounts import blob_service
from shared.storage.session_store import SessionNotes, SessionStore
from shared.storage.source_container import ContainerTaken, SourceContainer
from shared.storage.storage_errors import BlobChanged

_names = count()


@pytest.fixture
def container(azurite: str) -> Iterator[ContainerClient]:
    service = blob_service(StorageConnection("AzureWebJobsStorage", connection_string=azurite))
    client = service.create_container(f"storage-{next(_names)}")
    yield client
    service.close()


def test_a_read_returns_the_requested_slice(container: ContainerClient) -> None:
    """Inside, to the end, of no bytes; every read is conditional on the ETag."""
    container.upload_blob("x", b"0123456789")
    source = SourceContainer(container)
    blob = source.look("x")
    assert source.read("x", blob.etag, 2, 3) == b"234"
    assert source.read("x", blob.etag, 8, 2) == b"89"
    assert source.read("x", blob.etag, 10, 0) == b""
    container.upload_blob("x", b"abcdefghij", overwrite=True)
    with pytest.raises(BlobChanged):
        source.read("x", blob.etag, 2, 3)
    container.delete_blob("x")
    with pytest.raises(BlobDeleted, match="Upload it again"):
        source.look("x")


def test_a_blob_is_described_as_it_is(container: ContainerClient) -> None:
    """Size, MD5, kind and the user's metadata, with its values unchanged."""
    container.upload_blob("a b/\u00fc.txt", b"hello", metadata={"Owner": "Me+You"})
    blob = SourceContainer(container).look("a b/\u00fc.txt")
    assert (blob.size, blob.md5, blob.kind) == (
        5,
        "5d41402abc4b2a76b9719d911017c592",
        "BlockBlob",
    )
    assert {k.lower(): v for k, v in blob.metadata.items()} == {"owner": "Me+You"}
    assert not blob.archived


def test_metadata_is_written_only_over_what_was_read(container: ContainerClient) -> None:
    """A write by another client in between is not lost."""
    container.upload_blob("x", b"1")
    source = SourceContainer(container)
    seen = source.look("x")
    source.write_metadata("x", seen.etag, {"mine": "1"})
    with pytest.raises(BlobChanged):
        source.write_metadata("x", seen.etag, {"mine": "2"})
    now = source.look("x")
    assert now.metadata == {"mine": "1"}
    assert (now.created, now.size, now.md5) == (seen.created, seen.size, seen.md5)
    assert now.etag != seen.etag


def test_a_leased_blob_is_not_a_changed_blob(container: ContainerClient) -> None:
    """Writing has to wait for the lease; reading does not."""
    container.upload_blob("x", b"1")
    lease = BlobLeaseClient(container.get_blob_client("x"))
    lease.acquire()
    source = SourceContainer(container)
    blob = source.look("x")
    assert source.read("x", blob.etag, 0, 1) == b"1"
    with pytest.raises(StorageUnavailable, match="LeaseIdMissing"):
        source.write_metadata("x", blob.etag, {"a": "b"})


def test_an_account_that_does_not_respond_is_unavailable() -> None:
    """The message has the name of the blob and no address."""
    service = BlobServiceClient.from_connection_string(
        "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=c2VjcmV0;"
        "BlobEndpoint=http://127.0.0.1:1/a;",
        retry_total=0,
    )
    with service, pytest.raises(StorageUnavailable) as caught:
        SourceContainer(service.get_container_client("c")).look("x")
    assert "could not be reached for the blob x" in caught.value.sentence


def test_the_notes_of_1_0_can_be_read_until_they_are_deleted(azurite: str) -> None:
    """A missing container means none; a second deletion does nothing."""
    service = blob_service(StorageConnection("AzureWebJobsStorage", connection_string=azurite))
    notes = service.get_container_client(f"sessions-{next(_names)}")
    store = SessionStore(notes)
    assert store.get("t-1") is None
    notes.create_container()
    notes.upload_blob("t-1", '{"attempt": 2, "earlier_attachments": ["A="], "upload_url": ""}')
    assert store.get("t-1") == SessionNotes(2, ("A=",))
    store.delete("t-1")
    store.delete("t-1")
    assert store.get("t-1") is None
    service.close()


def test_a_container_belongs_to_one_ledger(container: ContainerClient) -> None:
    """Every instance of one app, and every start of it, claims it again; another app is refused."""
    for _ in range(2):
        first = SourceContainer(container, owner="ledger1")
        first.claim()
        first.claim()
    with pytest.raises(ContainerTaken, match="az storage container lease break"):
        SourceContainer(container, owner="ledger2").claim()
    BlobLeaseClient(container).break_lease(0)
    SourceContainer(container, owner="ledger2").claim()
    with pytest.raises(ContainerTaken):
        SourceContainer(container, owner="ledger1").claim()
