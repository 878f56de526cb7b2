"""No unnecessary request: those of a transfer without faults to Outlook and storage, counted."""

from collections import Counter
from functools import partial
from math import ceil
from urllib.parse import urlsplit

import pytest
from azure.core.pipeline.transport import HttpRequest

from infra.local.outlook import OutlookEmulator
from shared.settings import StorageConnection
from shared.storage.accounts import blob_service
from shared.storage.ledger import TABLE as LEDGER
from shared.transfer.activities.mailbox_locks import TABLE as LOCKS
from tests.conftest import MakeHarness
from tests.support.engine.clock import VirtualClock
from tests.support.faults.faulty_storage import (
    FaultyTables,
    FaultyTransport,
    is_for_ledger,
    is_for_locks,
    storage_over,
)
from tests.support.faults.storage_proxy import StorageProxy
from tests.support.harness import Harness, Product
from tests.support.virtual_app import MAILBOX

R = 1_000_000


def put(harness: Harness, size: int) -> None:
    """Upload a blob of so many bytes for a new message."""
    item = harness.emulator.add_item(MAILBOX, "message")
    harness.put("in/report.pdf", b"x" * size, mailbox=MAILBOX, messageid=item)


def create_tables(harness: Harness) -> None:
    """As the first transfer of an app does."""
    for table in (LEDGER, LOCKS):
        harness.memory_tables.create_table_if_not_exists(table)


def operation(request: HttpRequest) -> str:
    """The storage operation of a request, and its container."""
    where = "ledger" if is_for_ledger(request) else "locks" if is_for_locks(request) else "source"
    query = urlsplit(request.url).query
    return f"{where}: {request.method}{' metadata' if 'comp=metadata' in query else ''}"


@pytest.mark.parametrize("ranges_per_activity", [1, 2, 8])
@pytest.mark.parametrize("size", [4 * R, 9 * R + 1])
def test_a_large_file_needs_no_unnecessary_request(
    make_harness: MakeHarness, size: int, ranges_per_activity: int
) -> None:
    """Outlook: list, is it a draft, create, n PUTs. Storage: 3 HEADs, n reads, one record."""
    transport = FaultyTransport()
    product = Product(storage=storage_over(transport), tables=partial(FaultyTables, transport))
    settings = {"range_bytes": R, "ranges_per_activity": ranges_per_activity}
    harness = make_harness(None, product, **settings)
    put(harness, size)
    create_tables(harness)
    seen: Counter[str] = Counter()
    transport.before = lambda request: seen.update([operation(request)])

    assert harness.transfer("in/report.pdf").state == "attached"

    ranges = ceil(size / R)
    assert Counter(each.kind for each in harness.emulator.requests) == {
        "token": 1,
        "list": 1,
        "get_item": 1 + (ranges > ranges_per_activity),
        "create": 1,
        "range": ranges - 1,
        "last_range": 1,
    }
    uploads = ceil(ranges / ranges_per_activity)
    assert seen == {
        "source: HEAD": 3,
        "source: GET": ranges,
        "source: PUT metadata": 1,
        # Read by each activity; written when the session is created, when ranges begin, at the end.
        "ledger: GET": uploads + 3,
        "ledger: POST": 1,
        "ledger: PUT": uploads + 1,
        # Each activity that sends acquires the lock and releases it.
        "locks: GET": uploads + 1,
        "locks: POST": 1,
        "locks: PUT": 2 * uploads + 1,
    }


def test_a_small_file_needs_one_request_of_each_kind(make_harness: MakeHarness) -> None:
    """Outlook: list, POST. Storage: 3 HEADs, a read, a record; two rows of tables."""
    transport = FaultyTransport()
    harness = make_harness(
        None, Product(storage=storage_over(transport), tables=partial(FaultyTables, transport))
    )
    put(harness, 100_000)
    create_tables(harness)
    seen: Counter[str] = Counter()
    transport.before = lambda request: seen.update([operation(request)])

    assert harness.transfer("in/report.pdf").state == "attached"

    kinds = Counter(each.kind for each in harness.emulator.requests)
    assert kinds == {"token": 1, "list": 1, "get_item": 1, "small_post": 1}
    assert seen == {
        "source: HEAD": 3,
        "source: GET": 1,
        "source: PUT metadata": 1,
        "ledger: GET": 3,
        "ledger: POST": 1,
        "ledger: PUT": 1,
        "locks: GET": 1,
        "locks: POST": 1,
        "locks: PUT": 1,
    }


def test_connections_are_reused_between_activities(azurite: str) -> None:
    """Ten activities, one connection to Outlook; a second one to storage, to read ahead."""
    port = int(urlsplit(azurite.partition("BlobEndpoint=")[2]).netloc.rpartition(":")[2])
    clock = VirtualClock()
    with OutlookEmulator(clock=clock) as emulator, StorageProxy(port) as proxy:
        emulator.add_mailbox(MAILBOX)
        product = Product(
            storage=lambda text: blob_service(
                StorageConnection("AzureWebJobsStorage", connection_string=text)
            )
        )
        proxied = azurite.replace(f":{port}/", f":{proxy.port}/")
        settings = {"range_bytes": R, "ranges_per_activity": 1}
        harness = Harness(proxied, emulator, clock, "kept-connections", product, **settings)
        put(harness, 10 * R)
        assert harness.transfer("in/report.pdf").state == "attached"
        to_outlook = {each.client for each in emulator.requests if each.kind != "token"}
        assert len([each for each in emulator.requests if each.method == "PUT"]) == 10
        assert len(to_outlook) == 1
        assert proxy.accepted <= 2
        harness.close()
