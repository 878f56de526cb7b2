"""The in-memory container refuses the writes that Azurite refuses."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError
from azure.storage.blob import BlobServiceClient, ContainerClient

from tests.support.engine.clock import VirtualClock
from tests.support.in_memory.storage import MemoryContainer

_names = count()


@pytest.fixture(params=["Azurite", "in memory"])
def container(request: pytest.FixtureRequest, azurite: str) -> Iterator[ContainerClient]:
    """An empty container of each kind."""
    if request.param == "in memory":
        yield MemoryContainer("x", VirtualClock()).as_client()
        return
    with BlobServiceClient.from_connection_string(azurite) as service:
        yield service.create_container(f"like-{datetime.now(UTC):%H%M%S%f}-{next(_names)}")


def content(container: ContainerClient) -> bytes:
    stream = container.download_blob("x")
    return bytes(stream.readall())


def test_a_blob_is_not_overwritten_unless_the_call_says_so(container: ContainerClient) -> None:
    """By default, and with ``overwrite=False``; with ``overwrite=True`` it is."""
    container.upload_blob("x", "first", overwrite=False)
    with pytest.raises(ResourceExistsError):
        container.upload_blob("x", "second")
    with pytest.raises(ResourceExistsError):
        container.upload_blob("x", "second", overwrite=False)
    assert content(container) == b"first"
    container.upload_blob("x", "third", overwrite=True)
    assert content(container) == b"third"


def test_a_blob_with_another_etag_is_not_overwritten(container: ContainerClient) -> None:
    """Neither one that was written meanwhile, nor one that is gone."""
    container.upload_blob("x", "first")
    etag = container.download_blob("x").properties.etag

    def write(text: str) -> None:
        container.upload_blob(
            "x", text, overwrite=True, etag=etag, match_condition=MatchConditions.IfNotModified
        )

    write("second")
    with pytest.raises(ResourceModifiedError):
        write("third")
    assert content(container) == b"second"
    container.delete_blob("x")
    with pytest.raises(ResourceModifiedError):
        write("fourth")


def test_a_blob_that_must_be_new_is_not_overwritten(container: ContainerClient) -> None:
    """By an explicit condition."""
    container.upload_blob("x", "first", match_condition=MatchConditions.IfMissing)
    with pytest.raises(ResourceExistsError):
        container.upload_blob("x", "second", match_condition=MatchConditions.IfMissing)
    assert content(container) == b"first"
