"""Blobs that a copy makes: pending, complete, failed and aborted."""

from collections.abc import Mapping
from typing import Any

import pytest
from azure.core.pipeline.transport import HttpRequest

from shared.transfer.payloads import TransferStatus
from tests.conftest import MakeHarness
from tests.support.faults.faulty_storage import FaultyTransport, storage_over
from tests.support.files import content_of, put_for_new_item
from tests.support.harness import Harness, Product
from tests.support.virtual_app import MAILBOX

NAME = "in/report.pdf"
CONTENT = content_of(50_000)


class CopyTransport(FaultyTransport):
    """Describes the source's blobs as a copy that has these headers, for a number of HEADs."""

    def __init__(self, headers: Mapping[str, str], heads: int) -> None:
        super().__init__()
        self.headers = headers
        self.heads = heads

    def send(self, request: HttpRequest, **kwargs: Any) -> Any:
        response = super().send(request, **kwargs)
        if request.method == "HEAD" and self.heads > 0:
            self.heads -= 1
            response.headers.update(self.headers)
        return response


def copying(
    make_harness: MakeHarness, status: str, heads: int
) -> tuple[Harness, str, CopyTransport]:
    """An app, and the message that a copied blob is for; the blob is empty while it is copied."""
    headers = {
        "x-ms-copy-status": status,
        "x-ms-copy-id": "1",
        "x-ms-copy-progress": f"0/{len(CONTENT)}",
        "Content-Length": "0",
    }
    transport = CopyTransport(headers, heads)
    harness = make_harness(None, Product(storage=storage_over(transport)))
    return harness, put_for_new_item(harness, "message", CONTENT), transport


@pytest.mark.parametrize("status", ["pending", "Pending"])
@pytest.mark.parametrize("heads", [1, 2, 12])
def test_a_pending_copy_is_waited_for(make_harness: MakeHarness, status: str, heads: int) -> None:
    """Begun at any time of the copy, the transfer attaches the complete file, once."""
    harness, item, _ = copying(make_harness, status, heads)
    assert harness.transfer(NAME).state == "attached"
    (attachment,) = harness.emulator.attachments(MAILBOX, item)
    assert attachment.content == CONTENT


def test_the_same_event_after_the_copy_has_the_same_id(make_harness: MakeHarness) -> None:
    """So that the end of a copy starts no second transfer."""
    harness, _, _ = copying(make_harness, "pending", 1)
    assert harness.start(NAME)[0] == harness.start(NAME)[0]


def test_a_copy_that_never_ends_is_not_waited_for_without_end(make_harness: MakeHarness) -> None:
    """As with storage that does not respond: the transfer ends, nothing is attached."""
    harness, item, _ = copying(make_harness, "pending", 1_000_000)
    status = harness.transfer(NAME)
    assert status.state == "failed"
    assert status.error is not None
    assert "still being copied" in status.error.message
    assert harness.emulator.attachments(MAILBOX, item) == []


@pytest.mark.parametrize("status", ["failed", "aborted"])
@pytest.mark.parametrize("pending", [False, True])
def test_a_copy_without_content_is_refused(
    make_harness: MakeHarness, status: str, *, pending: bool
) -> None:
    """Before or after it was pending, it is no file; the record says so."""
    harness, item, transport = copying(make_harness, status, 1_000)
    ended = transport.headers
    if pending:
        transport.headers = {**ended, "x-ms-copy-status": "pending"}
    engine = harness.begin(NAME)
    transport.headers = ended
    found = TransferStatus.from_json(engine.run())
    assert found.state == "failed"
    assert found.error is not None
    assert (found.error.code, status in found.error.message) == ("UnsupportedBlob", True)
    assert harness.metadata(NAME)["attachmenterror"].startswith("UnsupportedBlob")
    assert harness.emulator.attachments(MAILBOX, item) == []
