"""(g) The ledger and the listing at 1,000, 10,000 and 100,000 transfers, side by side.

``python -m tests.benchmarks.listing [--azurite N] [COUNT…]``: what a point lookup and a page of 50
transfers cost, newest first, by state, mailbox and blob. Requests and rows are counted on tables in
memory, whose keys are sorted as those of Azure Storage are. Seconds and memory are measured on
Azurite, up to N transfers: it takes minutes to fill.
"""

import argparse
import asyncio
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import batched
from statistics import median
from typing import Any, cast

from azure.data.tables import TableServiceClient
from rich.console import Console

from infra.local.azurite import Azurite
from shared.errors import StorageUnavailable
from shared.settings import StorageConnection
from shared.storage.accounts import table_service
from shared.storage.documents import Key
from shared.storage.ledger import TABLE as LEDGER
from shared.storage.ledger import Ledger, LedgerEntry
from shared.storage.listed import Listed, text_of
from shared.storage.listing import TABLE as LISTING
from shared.storage.listing import Listing
from shared.storage.ordered_rows import Change, OrderedTable
from shared.transfer.payloads import TransferStatus
from shared.transfer.service.list_transfers import TransferQuery, list_transfers
from shared.transfer.summaries import at_end
from tests.benchmarks.measurement import Report, Target, timed
from tests.support.in_memory.tables import MemoryTables

COUNTS = (1_000, 10_000, 100_000)
TOP = 50
ROUNDS = 5
NOW = datetime(2026, 11, 24, tzinfo=UTC)
# Five rows each, in one request of 100 changes.
_WRITTEN_AT_ONCE = 20
_WRITERS, _TRIES = 2, 5
_FILES_OF_A_DAY, _MAILBOXES = 10, 10
REMARKS = (
    "Requests and rows visited: on tables in memory, sorted by key as in Azure Storage.",
    "Seconds and memory: on Azurite, which visits every row of a table for each query of a range. "
    "That its seconds grow is its own; Azure Storage seeks to the first key of the range.",
)


def run(counts: tuple[int, ...] = COUNTS, azurite_up_to: int = 10_000) -> Report:
    """Fill both kinds of tables, and measure each call at each number of transfers."""
    rows: list[tuple[str | float, ...]] = []
    visited: dict[str, list[int]] = {}
    for count in counts:
        in_memory = _counted(count)
        measured = _measured(count) if count <= azurite_up_to else {}
        for name, (requests, seen) in in_memory.items():
            seconds, memory = measured.get(name, ("", ""))
            rows.append((name, count, requests, seen, seconds, memory))
            visited.setdefault(name, []).append(seen)
    rows.sort(key=lambda row: str(row[0]))
    return Report(
        title=f"(g) Transfers in the ledger: a lookup, and pages of {TOP}",
        columns=("call", "transfers", "requests", "rows visited", "seconds", "KiB of memory"),
        rows=rows,
        targets=[
            Target(f"{name}: rows visited at most / at least", max(seen) / min(seen), 1.0)
            for name, seen in visited.items()
        ],
        remarks=REMARKS,
    )


def _counted(count: int) -> dict[str, tuple[int, int]]:
    """Requests and rows visited by each call."""
    tables = MemoryTables()
    _fill(tables.as_client(), count)
    found = {}
    for name, call in _calls(tables.as_client(), count).items():
        for table in tables.tables.values():
            table.requests = table.visited = 0
        call()
        all_tables = tables.tables.values()
        found[name] = (
            sum(each.requests for each in all_tables),
            sum(each.visited for each in all_tables),
        )
    return found


def _measured(count: int) -> dict[str, tuple[float, float]]:
    """The median of the seconds that each call takes, and the most KiB that it allocates."""
    with Azurite() as azurite:
        connection = StorageConnection("AzureWebJobsStorage", azurite.connection_string)
        with table_service(connection) as service:
            _fill(service, count)
            return {name: _measure(call) for name, call in _calls(service, count).items()}


def _measure(call: Callable[[], object]) -> tuple[float, float]:
    call()
    seconds = median(timed(call) for _ in range(ROUNDS))
    tracemalloc.start()
    try:
        call()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return seconds, peak / 1_024


def _calls(service: TableServiceClient, count: int) -> dict[str, Callable[[], object]]:
    ledger, listing = Ledger(service), Listing(service, lambda: NOW)
    since = NOW - timedelta(days=365)

    def page(**filters: Any) -> Callable[[], object]:
        query = TransferQuery(since=since, top=TOP, **filters)

        def read() -> None:
            client = cast("Any", None)
            assert len(asyncio.run(list_transfers(client, listing, query)).items) == TOP

        return read

    def lookup() -> None:
        assert ledger.get(_id(count // 2)) is not None

    return {
        "lookup by id": lookup,
        "page of all": page(),
        "page by state": page(states=("failed",)),
        "page by mailbox": page(mailbox="3@contoso.com"),
        "page by blob": page(blob="daily/3.pdf"),
    }


def _fill(service: TableServiceClient, count: int) -> None:
    for name in (LEDGER, LISTING):
        service.create_table_if_not_exists(name)
    listing, ledger = OrderedTable(service, LISTING), Ledger(service)

    def put(number: int) -> None:
        ledger.put(LedgerEntry(_id(number), "2026", 1, "attached", "AAMk=" * 20))

    def submit(numbers: tuple[int, ...]) -> None:
        rows = [_listed(number) for number in numbers]
        _until_written(listing, [change for row in rows for change in _changes(row)])

    with ThreadPoolExecutor(_WRITERS) as writers:
        for _ in writers.map(put, range(count)):
            pass
        for _ in writers.map(submit, batched(range(count), _WRITTEN_AT_ONCE, strict=False)):
            pass


def _until_written(listing: OrderedTable, changes: list[Change]) -> None:
    """Azurite may take longer than a write waits for."""
    for left in reversed(range(_TRIES)):
        try:
            listing.submit(changes)
        except StorageUnavailable:
            if not left:
                raise
            continue
        return


def _changes(row: Listed) -> Iterator[Change]:
    text = text_of(row)
    for key in (f"id!{row.id}", *row.index_keys()):
        yield Change("upsert", Key("transfers", key), text)


def _listed(number: int) -> Listed:
    """One transfer a second, of which every tenth fails."""
    status = TransferStatus(
        state="attached" if number % 10 else "failed",
        blob=f"daily/{number // 10 % _FILES_OF_A_DAY}.pdf",
        size=2_900_000,
        bytes_sent=2_900_000,
        mailbox=f"{number % _MAILBOXES}@contoso.com",
        item_type="message",
        item_id="AAMk=" * 24,
        attachment_id="AAMk=" * 30,
        file_name=f"{number}.pdf",
        created_at=NOW - timedelta(seconds=number),
    )
    return at_end(_id(number), status, NOW)


def _id(number: int) -> str:
    return f"{number:016x}-{number:016x}"


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--azurite", type=int, default=10_000, metavar="N")
    parser.add_argument("counts", type=int, nargs="*", default=COUNTS, metavar="COUNT")
    given = parser.parse_args()
    run(tuple(given.counts), given.azurite).show(Console())


if __name__ == "__main__":
    main()
