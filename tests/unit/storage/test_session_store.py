"""The notes of transfers that began under version 1.0: read, and deleted."""

import json
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from shared.errors import StorageUnavailable
from shared.secret import Secret
from shared.storage.session_store import SessionStore
from tests.support.engine.clock import VirtualClock
from tests.support.in_memory.storage import MemoryContainer, MemoryDownload

URL = Secret("https://outlook.office.com/x?authtoken=canary", "upload URL")


def container_with_notes(url: str) -> MemoryContainer:
    """As version 1.0 wrote them."""
    values = {"attempt": 2, "earlier_attachments": ["A=", "B="], "upload_url": url}
    container = MemoryContainer("sessions", VirtualClock())
    container.put("t", json.dumps(values).encode(), None, {})
    return container


@pytest.mark.parametrize("url", [URL, None], ids=["session", "no session"])
def test_notes_are_read(url: Secret | None) -> None:
    """A reader sees that the URL is one, but not the URL."""
    container = container_with_notes(url.reveal() if url else "")
    notes = SessionStore(container.as_client()).get("t")
    assert notes is not None
    assert (notes.attempt, notes.earlier_attachments) == (2, ("A=", "B="))
    revealed = notes.upload_url.reveal() if notes.upload_url else None
    assert revealed == (url.reveal() if url else None)
    assert str(notes.upload_url) == str(url)


def test_notes_are_deleted() -> None:
    """Even if there are none."""
    store = SessionStore(container_with_notes("").as_client())
    store.delete("t")
    assert store.get("t") is None
    store.delete("t")


@pytest.mark.parametrize("call", ["download_blob", "delete_blob"])
def test_an_outage_names_the_transfer(call: str) -> None:
    """For every call."""
    container = container_with_notes("")
    store = SessionStore(container.as_client())
    error = HttpResponseError("busy")
    error.status_code = 503

    def busy(*_: object, **__: object) -> MemoryDownload:
        raise error

    setattr(container, call, busy)
    run: dict[str, Any] = {
        "download_blob": lambda: store.get("t"),
        "delete_blob": lambda: store.delete("t"),
    }
    with pytest.raises(StorageUnavailable, match="blob t"):
        run[call]()
