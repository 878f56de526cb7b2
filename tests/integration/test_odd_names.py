"""Names that begin with a slash, hold empty folders or line breaks: the same at every trigger."""

import asyncio
import logging
from typing import cast

import azure.durable_functions as df
import pytest

from shared.errors import InvalidRequest
from shared.transfer.payloads import TransferStatus
from shared.transfer.service.requests import AttachRequest
from shared.transfer.service.transfers import Transfer
from tests.conftest import MakeHarness
from tests.support.deliveries import EVENTS, call_status
from tests.support.harness import Harness, RecordingClient
from tests.support.virtual_app import MAILBOX

NAMES = [
    "/leading.pdf",
    "//two.pdf",
    "a//b.pdf",
    "a\nb.pdf",
    "a\r\nTransfer x ended: attached.pdf",
    "tab\there.pdf",
    "a\u2028b\u0085c.pdf",
    "\\back.pdf",
]


class Hub(RecordingClient):
    """A task hub without earlier transfers."""

    async def get_all_orchestration_states(self, _: object) -> list[object]:
        return []


def by_call(harness: Harness, name: str, item: str) -> TransferStatus:
    """The transfer that a call starts, at its end."""
    hub = Hub()
    attach = AttachRequest.read({"blob": name, "mailbox": MAILBOX, "messageId": item})
    client = cast("df.DurableFunctionsClient", hub)
    (result,) = asyncio.run(harness.starter.from_request(client, attach))
    assert isinstance(result.outcome, Transfer)
    return TransferStatus.from_json(harness.start_engine(*hub.started[0]).run())


def assert_one_line_each(caplog: pytest.LogCaptureFixture) -> None:
    """No entry of the app has a line break of any kind."""
    own = [each.getMessage() for each in caplog.records if each.name.startswith("shared")]
    assert own
    assert [each for each in own if len(each.splitlines()) != 1] == []


def test_such_a_blob_is_attached_by_event_and_by_call(
    make_harness: MakeHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """Storage allows these names. No entry of the log is broken by them."""
    harness = make_harness()
    caplog.set_level(logging.DEBUG, "shared")
    for name in NAMES:
        item = harness.emulator.add_item(MAILBOX, "message")
        harness.put(name, b"hello", mailbox=MAILBOX, messageid=item)
        assert harness.transfer(name).state == "attached"
        another = harness.emulator.add_item(MAILBOX, "message")
        assert by_call(harness, name, another).state == "attached"
        assert len(harness.emulator.attachments(MAILBOX, another)) == 1
    assert_one_line_each(caplog)


def test_one_that_does_not_exist_is_logged_in_one_line(
    make_harness: MakeHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """At each trigger; a call is answered 404."""
    harness = make_harness()
    caplog.set_level(logging.DEBUG, "shared")
    for name in NAMES:
        for deliver in EVENTS:
            deliver(harness, name)
        assert call_status(harness, name) == 404
    assert_one_line_each(caplog)


@pytest.mark.parametrize("name", ["../a.pdf", "a/./b.pdf", "a\\..\\b.pdf", "/.."])
def test_dot_segments_stay_refused(
    make_harness: MakeHarness, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Their URL would be another path."""
    harness = make_harness()
    for deliver in EVENTS:
        deliver(harness, name)
    assert "UnsupportedBlob" in caplog.text
    with pytest.raises(InvalidRequest):
        AttachRequest.read({"blob": name, "mailbox": MAILBOX, "messageId": "M="})
