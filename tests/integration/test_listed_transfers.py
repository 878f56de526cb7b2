"""What the listing says of transfers from their start to their end, with the app's own parts."""

import asyncio
from typing import Any, cast

import azure.durable_functions as df
import pytest
from azure.core.exceptions import ServiceRequestError

from shared.storage.ledger import Ledger
from shared.storage.listed import ALL, RUNNING, Listed, by_state
from shared.storage.listing import TABLE, Listing
from shared.transfer.end_payloads import RecordAttachment
from shared.transfer.service.attachments import Attachments
from shared.transfer.service.list_transfers import TransferQuery, list_transfers, with_removal
from shared.transfer.service.requests import AttachRequest
from shared.transfer.service.transfers import Transfer
from tests.conftest import MakeHarness
from tests.support.engine.clock import EPOCH
from tests.support.in_memory.app import InMemoryApp
from tests.support.in_memory.tables import MemoryTable
from tests.support.virtual_app import MAILBOX


def listed(app: Any, index: str = ALL) -> list[Listed]:
    """The rows of an index."""
    found = list(app.listing.newest([index], EPOCH, "", 10))
    assert all(isinstance(row, Listed) for row in found)
    return cast("list[Listed]", found)


def put(app: InMemoryApp, name: str, content: bytes = b"x", item: str = "") -> str:
    """A blob for an item; the item's id."""
    item = item or app.add_message()
    app.blobs.put(name, content, None, {"mailbox": MAILBOX, "messageid": item})
    return item


def test_a_small_file_costs_three_requests_of_the_listing() -> None:
    """One when it is started, one for the blob's other transfers, one at its end."""
    app = InMemoryApp()
    app.memory_tables.create_table_if_not_exists(TABLE)
    put(app, "in/a.pdf")
    id_ = app.deliver("in/a.pdf")
    (row,) = listed(app, by_state(RUNNING))
    assert (row.id, row.blob, row.mailbox, row.started) == (id_, "in/a.pdf", MAILBOX, EPOCH)
    app.memory_tables.tables[TABLE].requests = 1
    app.finish()
    assert app.memory_tables.tables[TABLE].requests == 3
    (row,) = listed(app)
    assert row.state == "attached"
    (attachment,) = app.attachments(str(row.summary["itemId"]))
    assert row.summary["attachmentId"] == attachment.id
    assert row.summary["size"] == 1
    assert listed(app, by_state(RUNNING)) == []


def test_every_end_is_listed(make_harness: MakeHarness) -> None:
    """Also those of transfers that record nothing."""
    harness = make_harness(allowed_mailboxes=MAILBOX)
    item = harness.emulator.add_item(MAILBOX, "message")
    harness.put("attached", b"1", mailbox=MAILBOX, messageid=item)
    harness.put("failed", b"2", mailbox="other@contoso.com", messageid=item)
    harness.put("unaddressed", b"3")
    harness.put("superseded", b"4", mailbox=MAILBOX, messageid=item)
    harness.put("cancelled", b"5", mailbox=MAILBOX, messageid=item)
    begun = {name: harness.begin(name) for name in ("superseded", "cancelled")}
    harness.put("superseded", b"new", mailbox=MAILBOX, messageid=item)
    begun["cancelled"].raise_event("cancel")
    for engine in begun.values():
        engine.run()
    for name in ("attached", "failed", "unaddressed"):
        harness.transfer(name)
    states = {row.blob: row.state for row in listed(harness)}
    assert states == {name: name for name in states}
    assert len(states) == 5
    failed = next(row for row in listed(harness) if row.state == "failed")
    assert failed.summary["error"]["code"] == "MailboxNotAllowed"


def test_a_duplicate_after_the_end_is_the_same_transfer() -> None:
    """Azure replaces a finished instance: the transfer is listed once, as it ended."""
    app = InMemoryApp("replaced")
    put(app, "a.pdf")
    for _ in range(3):
        app.deliver("a.pdf")
        app.finish()
    assert [row.state for row in listed(app)] == ["attached"]


def test_transfers_that_follow_each_other_are_listed_at_once() -> None:
    """Those that wait for their predecessor as well."""
    app = InMemoryApp()
    item = app.add_message()
    for name in ("a", "b", "c"):
        app.blobs.put(name, b"x", None, {})
    request = AttachRequest.read({"blobs": ["a", "b", "c"], "mailbox": MAILBOX, "messageId": item})
    client = cast("df.DurableFunctionsClient", _WithoutInstances(app))
    asyncio.run(app.starter.from_request(client, request))
    assert sorted(row.blob for row in listed(app, by_state(RUNNING))) == ["a", "b", "c"]


class _WithoutInstances:
    """Durable's client of an app that knows no earlier instances."""

    def __init__(self, app: InMemoryApp) -> None:
        self.schedule_new_orchestration = app.schedule_new_orchestration

    async def get_all_orchestration_states(self, _: object) -> list[object]:
        return []


class Unreachable(MemoryTable):
    """A table whose account does not respond, until it is reachable again."""

    reachable = False

    def submit_transaction(self, *given: Any, **options: Any) -> list[dict[str, Any]]:
        if not self.reachable:
            raise ServiceRequestError("The connection was refused.")
        return super().submit_transaction(*given, **options)


@pytest.mark.parametrize("until_the_end", [True, False])
def test_a_listing_out_of_reach_fails_no_transfer(
    caplog: pytest.LogCaptureFixture, until_the_end: bool
) -> None:
    """It is logged; a later write lists the transfer all the same."""
    app = InMemoryApp()
    item = put(app, "a.pdf")
    app.memory_tables.tables[TABLE] = table = Unreachable()
    listing = app.listing = Listing(app.tables, app.clock)
    object.__setattr__(app.starter, "listing", listing)
    app.restart(app.settings)
    app.deliver("a.pdf")
    table.reachable = not until_the_end
    app.finish()
    assert len(app.attachments(item)) == 1
    assert "the listing is not current" in caplog.text
    table.reachable = True
    assert [row.state for row in listed(app)] == ([] if until_the_end else ["attached"])


def test_a_transfer_of_version_1_0_is_listed_at_its_end() -> None:
    """Its input does not say when it was requested."""
    app = InMemoryApp()
    item = put(app, "a.pdf")
    id_ = app.deliver("a.pdf")
    app.memory_tables.tables.pop(TABLE)
    app.listing = Listing(app.tables, app.clock)
    app.restart(app.settings)
    status = {"state": "attached", "blob": "a.pdf", "attachmentId": "A", "bytesSent": 1}
    address = {"mailbox": MAILBOX, "itemType": "message", "itemId": item}
    work = RecordAttachment.from_json(
        {"transferId": id_, "status": {**status, **address}, "record": "attached"}
    )
    for _ in range(2):
        app.clock.advance(60)
        app.activities["record_attachment"](work.to_json())
        assert [(row.id, row.state, row.started) for row in listed(app)] == [
            (id_, "attached", app.clock())
        ]


def test_a_removed_attachment_is_listed_as_removed(make_harness: MakeHarness) -> None:
    """And its transfer is shown so, too."""
    harness = make_harness()
    item = harness.emulator.add_item(MAILBOX, "message")
    harness.put("a.pdf", b"1", mailbox=MAILBOX, messageid=item)
    engine = harness.begin("a.pdf")
    transfer = Transfer.from_json({**engine.run(), "id": engine.instance_id})
    assert asyncio.run(with_removal(harness.listing, transfer)).state == "attached"
    calls = Attachments(
        harness.settings,
        harness.source,
        Ledger(harness.tables),
        harness.graph,
        harness.listing,
    )
    calls.remove(transfer.id, transfer)
    assert asyncio.run(with_removal(harness.listing, transfer)).state == "removed"
    (row,) = listed(harness)
    assert row.state == row.summary["state"] == "removed"
    query = TransferQuery(states=("removed",), since=EPOCH)
    page = asyncio.run(list_transfers(cast("Any", None), harness.listing, query))
    assert [each.id for each in page.items] == [transfer.id]
