"""Blobs that are created empty and filled later: attached once, with their content."""

from collections.abc import Callable

import pytest

from tests.support.in_memory.app import InMemoryApp
from tests.support.virtual_app import MAILBOX

NAME = "in/report.pdf"
CONTENT = b"the whole file"
WAIT = 300.0

type Fill = Callable[[InMemoryApp], None]


def by_flush(app: InMemoryApp) -> None:
    """As on a hierarchical account: creation time and metadata stay."""
    app.blobs.fill(NAME, CONTENT)


def by_upload(app: InMemoryApp) -> None:
    """As by a second upload: everything is new."""
    app.blobs.put(NAME, CONTENT, None, app.blobs.blob(NAME).metadata)


def begun(seconds: float = WAIT) -> tuple[InMemoryApp, str, str]:
    """An app, a draft, and the transfer of an empty blob to it."""
    app = InMemoryApp(empty_blob_seconds=seconds)
    item = app.add_message()
    app.blobs.put(NAME, b"", None, {"mailbox": MAILBOX, "messageid": item})
    return app, item, app.deliver(NAME)


def contents(app: InMemoryApp, item: str) -> list[bytes]:
    """The contents of the draft's attachments."""
    return [each.content for each in app.attachments(item)]


@pytest.mark.parametrize("fill", [by_flush, by_upload])
@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_a_blob_that_is_filled_is_attached_once(fill: Fill, steps: int) -> None:
    """Whenever that happens while it is waited on; its two events make one attachment."""
    app, item, empty = begun()
    for _ in range(steps):
        app.advance_in_time()
    fill(app)
    full = app.deliver(NAME)
    app.finish_in_time()
    assert full != empty
    assert contents(app, item) == [CONTENT]
    outputs = [app.engines[each].output for each in (empty, full)]
    assert [each and each["state"] for each in outputs] == ["superseded", "attached"]
    assert app.blobs.blob(NAME).metadata["attachmentstatus"] == "attached"


def test_the_events_may_come_in_any_order() -> None:
    """And the second one twice."""
    app, item, _ = begun()
    by_flush(app)
    for _ in range(2):
        app.deliver(NAME)
    app.deliver(NAME)
    app.finish_in_time()
    assert contents(app, item) == [CONTENT]


@pytest.mark.parametrize("seconds", [0.0, 7.0, WAIT])
def test_a_blob_that_stays_empty_is_an_empty_file(seconds: float) -> None:
    """After EMPTY_BLOB_SECONDS, to the second; with 0 at once."""
    app, item, id_ = begun(seconds)
    app.finish_in_time()
    engine = app.engines[id_]
    assert contents(app, item) == [b""]
    assert sum(engine.waits) == pytest.approx(seconds)


def test_the_wait_for_an_empty_blob_can_be_cancelled() -> None:
    """Nothing is attached."""
    app, item, id_ = begun()
    app.advance_in_time()
    app.engines[id_].raise_event("cancel")
    app.finish_in_time()
    output = app.engines[id_].output
    assert output is not None
    assert (output["state"], contents(app, item)) == ("cancelled", [])


def test_an_empty_blob_that_is_deleted_ends_the_wait() -> None:
    """With the reason."""
    app, item, id_ = begun()
    app.advance_in_time()
    app.blobs.delete_blob(NAME)
    app.finish_in_time()
    output = app.engines[id_].output
    assert output is not None
    assert (output["error"]["code"], contents(app, item)) == ("BlobDeleted", [])


def test_a_blob_that_is_filled_after_the_wait_is_attached_once() -> None:
    """The transfer of the empty file was waiting for its mailbox, say."""
    app, item, id_ = begun()
    engine = app.engines[id_]
    while engine.next_activity != "attach_small_file":
        engine.advance()
    app.clock.advance(1_800)
    by_flush(app)
    app.deliver(NAME)
    app.finish_in_time()
    assert contents(app, item) == [CONTENT]
    assert (engine.output or {})["state"] == "superseded"


def test_an_empty_file_that_says_so_is_not_waited_for() -> None:
    """It came by an upload link, which names its size."""
    app, item, _ = begun()
    app.blobs.annotate(NAME, expectedsize="0")
    began = app.clock()
    app.finish_in_time()
    assert contents(app, item) == [b""]
    assert (app.clock() - began).total_seconds() < 1
