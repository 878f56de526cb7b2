"""The notes of transfers: written by one delivery only, and deleted."""

import json
from dataclasses import replace
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from shared.errors import StorageUnavailable
from shared.secret import Secret
from shared.storage.session_store import NotesTaken, SessionNotes, SessionStore
from tests.support.engine.clock import VirtualClock
from tests.support.in_memory.storage import MemoryContainer, MemoryDownload

URL = Secret("https://outlook.office.com/x?authtoken=canary", "upload URL")
NOTES = SessionNotes(2, ("A=", "B="), URL)


class Container(MemoryContainer):
    """A container that may be missing at first, and keeps the options of the writes."""

    def __init__(self, *, missing: bool = False) -> None:
        super().__init__("sessions", VirtualClock())
        self.missing = missing
        self.created = 0
        self.options: list[dict[str, Any]] = []

    def upload_blob(self, name: str, text: str, **options: Any) -> None:
        self.options.append(options)
        if self.missing:
            raise ResourceNotFoundError("The specified container does not exist.")
        super().upload_blob(name, text, **options)

    def create_container(self) -> None:
        self.created += 1
        self.missing = False


def kept(store: SessionStore) -> SessionNotes:
    """The notes of the transfer."""
    notes = store.get("t")
    assert notes is not None
    return notes


@pytest.mark.parametrize("url", [URL, None], ids=["session", "no session"])
def test_notes_are_read_back(url: Secret | None) -> None:
    """With an ETag. A reader sees that the URL is one, but not the URL."""
    container = Container()
    store = SessionStore(container.as_client())
    assert store.get("t") is None
    store.put("t", replace(NOTES, upload_url=url))
    notes = kept(store)
    assert (notes.attempt, notes.earlier_attachments) == (2, ("A=", "B="))
    assert notes.etag == container.blob("t").etag
    revealed = notes.upload_url.reveal() if notes.upload_url else None
    assert revealed == (url.reveal() if url else None)
    assert str(notes.upload_url) == str(url)
    assert json.loads(container.blob("t").content) == {
        "attempt": 2,
        "earlier_attachments": ["A=", "B="],
        "upload_url": url.reveal() if url else "",
    }


def test_of_two_writers_one_succeeds() -> None:
    """The first notes are new; later ones replace those that were read."""
    store = SessionStore(Container().as_client())
    store.put("t", NOTES)
    read = kept(store)
    store.put("t", replace(read, attempt=3))
    for outdated in (NOTES, read):
        with pytest.raises(NotesTaken, match="Another delivery") as caught:
            store.put("t", outdated)
        assert "transfer t" in str(caught.value)
    assert kept(store).attempt == 3


def test_the_sdk_does_not_repeat_a_write() -> None:
    """Its second try would meet the ETag of its first."""
    container = Container()
    store = SessionStore(container.as_client())
    store.put("t", NOTES)
    store.put("t", kept(store))
    assert [options["retry_total"] for options in container.options] == [0, 0]
    assert [options["overwrite"] for options in container.options] == [False, True]


def test_a_missing_container_is_created_once() -> None:
    """By the first transfer. Another worker may be faster."""
    container = Container(missing=True)
    store = SessionStore(container.as_client())
    store.put("t", NOTES)
    store.put("t2", NOTES)
    assert (container.created, sorted(container.names())) == (1, ["t", "t2"])

    def taken() -> None:
        container.missing = False
        raise ResourceExistsError("The specified container already exists.")

    container.missing = True
    container.create_container = taken  # type: ignore[method-assign]
    store.put("t3", NOTES)
    assert "t3" in container.names()


def test_notes_are_deleted() -> None:
    """Even if there are none."""
    store = SessionStore(Container().as_client())
    store.put("t", NOTES)
    store.delete("t")
    assert store.get("t") is None
    store.delete("t")


@pytest.mark.parametrize("call", ["download_blob", "upload_blob", "delete_blob"])
def test_an_outage_names_the_transfer(call: str) -> None:
    """For every call."""
    container = Container()
    store = SessionStore(container.as_client())
    error = HttpResponseError("busy")
    error.status_code = 503

    def busy(*_: object, **__: object) -> MemoryDownload:
        raise error

    setattr(container, call, busy)
    run: dict[str, Any] = {
        "download_blob": lambda: store.get("t"),
        "upload_blob": lambda: store.put("t", NOTES),
        "delete_blob": lambda: store.delete("t"),
    }
    with pytest.raises(StorageUnavailable, match=r"answered 503 \(no code\) for the blob t"):
        run[call]()
