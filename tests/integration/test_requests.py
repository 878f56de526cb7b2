"""No unnecessary request: those of a transfer without faults to Outlook and storage, counted."""

from collections import Counter
from math import ceil
from urllib.parse import urlsplit

import pytest
from azure.core.pipeline.transport import HttpRequest

from infra.local.outlook import OutlookEmulator
from shared.settings import StorageConnection
from shared.storage.accounts import blob_service
from tests.conftest import MakeHarness
from tests.support.engine.clock import VirtualClock
from tests.support.faults.faulty_storage import FaultyTransport, is_for_sessions, storage_over
from tests.support.faults.storage_proxy import StorageProxy
from tests.support.harness import Harness, Product
from tests.support.virtual_app import MAILBOX

R = 1_000_000


def put(harness: Harness, size: int) -> None:
    """Upload a blob of so many bytes for a new message."""
    item = harness.emulator.add_item(MAILBOX, "message")
    harness.put("in/report.pdf", b"x" * size, mailbox=MAILBOX, messageid=item)


def operation(request: HttpRequest) -> str:
    """The storage operation of a request, and its container."""
    where = "session store" if is_for_sessions(request) else "source"
    query = urlsplit(request.url).query
    return f"{where}: {request.method}{' metadata' if 'comp=metadata' in query else ''}"


@pytest.mark.parametrize("ranges_per_activity", [1, 2, 8])
@pytest.mark.parametrize("size", [4 * R, 9 * R + 1])
def test_a_large_file_needs_no_unnecessary_request(
    make_harness: MakeHarness, size: int, ranges_per_activity: int
) -> None:
    """Outlook: list, create, n PUTs. Storage: 3 HEADs, n reads, one record; notes per activity."""
    transport = FaultyTransport()
    product = Product(storage=storage_over(transport))
    settings = {"range_bytes": R, "ranges_per_activity": ranges_per_activity}
    harness = make_harness(None, product, **settings)
    harness.sessions.create_container()
    put(harness, size)
    seen: Counter[str] = Counter()
    transport.before = lambda request: seen.update([operation(request)])

    assert harness.transfer("in/report.pdf").state == "attached"

    ranges = ceil(size / R)
    assert Counter(each.kind for each in harness.emulator.requests) == {
        "token": 1,
        "list": 1,
        "create": 1,
        "range": ranges - 1,
        "last_range": 1,
    }
    assert seen == {
        "source: HEAD": 3,
        "source: GET": ranges,
        "source: PUT metadata": 1,
        # Read and written when the session is created, read by each activity, deleted.
        "session store: GET": 1 + ceil(ranges / ranges_per_activity),
        "session store: PUT": 1,
        "session store: DELETE": 1,
    }


def test_a_small_file_needs_one_request_of_each_kind(make_harness: MakeHarness) -> None:
    """Outlook: list, POST. Storage: 3 HEADs, a read, a record; notes read, written, deleted."""
    transport = FaultyTransport()
    harness = make_harness(None, Product(storage=storage_over(transport)))
    harness.sessions.create_container()
    put(harness, 100_000)
    seen: Counter[str] = Counter()
    transport.before = lambda request: seen.update([operation(request)])

    assert harness.transfer("in/report.pdf").state == "attached"

    kinds = Counter(each.kind for each in harness.emulator.requests)
    assert kinds == {"token": 1, "list": 1, "small_post": 1}
    assert seen == {
        "source: HEAD": 3,
        "source: GET": 1,
        "source: PUT metadata": 1,
        "session store: GET": 1,
        "session store: PUT": 1,
        "session store: DELETE": 1,
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
