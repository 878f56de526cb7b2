"""The listing's rows, against a real Azurite and against the tables in memory."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from typing import Any

import pytest
from azure.data.tables import TableServiceClient

from shared.errors import StorageUnavailable
from shared.settings import StorageConnection
from shared.storage.accounts import table_service
from shared.storage.listed import ALL, RUNNING, Listed, by_blob, by_mailbox, by_state
from shared.storage.listing import TABLE, Listing
from tests.support.in_memory.tables import MemoryTables

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
ALWAYS = NOW - timedelta(days=365)
_ids = count(1)


@pytest.fixture
def service(service: TableServiceClient) -> TableServiceClient:
    """A table service with no listing yet; the one in memory has none anyway."""
    if isinstance(service, TableServiceClient):
        service.delete_table(TABLE)
    return service


@pytest.fixture
def listing(service: TableServiceClient) -> Listing:
    return Listing(service, lambda: NOW)


def running(minutes: int = 0, id_: str = "", **fields: Any) -> Listed:
    """A transfer that was started so many minutes after NOW."""
    id_ = id_ or f"{'ab' * 8}-{next(_ids):016x}"
    started = NOW + timedelta(minutes=minutes)
    values: dict[str, Any] = {"blob": "a.pdf", "mailbox": "a@contoso.com", "summary": {}}
    return Listed(id_, started, RUNNING, **(values | fields))


def ended(row: Listed, state: str = "attached") -> Listed:
    return replace(row, state=state, summary={"bytesSent": 3})


def found(listing: Listing, *indexes: str, after: str = "", size: int = 2) -> list[Listed | str]:
    return list(listing.newest(indexes, ALWAYS, after, size))


def test_nothing_is_listed_before_the_first_transfer(listing: Listing) -> None:
    """There is no table yet."""
    assert found(listing, ALL) == []
    assert listing.find("ab-1") is None
    assert listing.purge(NOW, lambda _: True, 10) == 0


def test_a_transfer_is_found_by_each_index_while_it_runs_and_afterwards(listing: Listing) -> None:
    """By state, mailbox in any case, and blob; with its summary."""
    row = running(mailbox="Ä.B/c@contoso.com", blob="x/\u00fc?#\\.pdf")
    listing.begin(row)
    for index in (ALL, by_state(RUNNING), by_mailbox("ä.b/C@Contoso.com"), by_blob(row.blob)):
        assert found(listing, index) == [row]
    listing.end(ended(row))
    for index in (ALL, by_state("attached"), by_mailbox("ä.b/C@contoso.com"), by_blob(row.blob)):
        assert found(listing, index) == [ended(row)]
    assert found(listing, by_state(RUNNING)) == []
    assert listing.find(row.id) == ended(row)


def test_a_transfer_without_an_item_has_no_mailbox(listing: Listing) -> None:
    """It is in the other indexes."""
    row = running(mailbox=None)
    listing.begin(row)
    listing.end(ended(row, "unaddressed"))
    assert (
        found(listing, by_state("unaddressed"))
        == found(listing, ALL)
        == [ended(row, "unaddressed")]
    )


def test_pages_are_newest_first_and_merged_over_indexes(listing: Listing) -> None:
    """After any position, and not older than since."""
    rows = [running(minutes) for minutes in (0, 5, 1, 4, 2, 3)]
    for number, row in enumerate(rows):
        listing.begin(row)
        if number % 3:
            listing.end(ended(row, ["attached", "failed"][number % 2]))
    newest = sorted(rows, key=lambda row: row.started, reverse=True)
    listed = found(listing, ALL)
    assert [row.id for row in listed if isinstance(row, Listed)] == [row.id for row in newest]
    states = map(by_state, (RUNNING, "attached", "failed"))
    assert found(listing, *states) == listed
    assert found(listing, ALL, after=newest[2].position) == listed[3:]
    assert list(listing.newest([ALL], newest[3].started, "", 2)) == listed[:4]
    assert list(islice(listing.newest([ALL], ALWAYS, "", 2), 1)) == listed[:1]


def test_an_end_is_listed_without_its_start(listing: Listing) -> None:
    """The write at the start was lost, or the transfer is one of version 1.0."""
    row = ended(running())
    listing.end(row)
    assert found(listing, ALL) == [row]


def test_a_late_start_changes_nothing(listing: Listing) -> None:
    """The transfer had ended before its start could be listed."""
    row = running()
    listing.end(ended(row))
    listing.begin(row)
    assert found(listing, ALL) == found(listing, by_state("attached")) == [ended(row)]
    assert found(listing, by_state(RUNNING)) == []


def test_a_second_end_says_the_same(listing: Listing) -> None:
    """A second delivery; also one that found out more."""
    row = running()
    listing.begin(row)
    for state in ("attached", "attached", "removed"):
        listing.end(ended(row, state))
    assert found(listing, ALL) == found(listing, by_state("removed")) == [ended(row, "removed")]
    assert found(listing, by_state("attached")) == []


def test_an_id_that_is_started_again_is_listed_once(listing: Listing) -> None:
    """As it is in its latest run; a late end of the earlier run changes nothing."""
    row = running()
    listing.begin(row)
    listing.end(ended(row, "failed"))
    again = running(5, row.id)
    listing.begin(again)
    assert found(listing, ALL) == found(listing, by_blob("a.pdf")) == [again]
    assert found(listing, by_state("failed")) == []
    listing.end(ended(row, "failed"))
    assert found(listing, ALL) == [again]
    listing.end(ended(again))
    assert found(listing, ALL) == [ended(again)]


def test_rows_that_are_partly_gone_do_not_stop_a_new_start(
    listing: Listing, service: TableServiceClient
) -> None:
    """Somebody deleted one of them by hand."""
    row = running()
    listing.begin(row)
    service.get_table_client(TABLE).delete_entity("transfers", f"all!{row.position}")
    again = running(5, row.id)
    listing.begin(again)
    assert found(listing, ALL) == found(listing, by_mailbox("a@contoso.com")) == [again]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"id":1}', '{"id":"x","started":"2026-01-01T00:00:00","state":"running",'
     '"blob":"b","mailbox":null,"summary":{}}'],
    ids=["empty", "no JSON", "a list", "an object", "half", "no zone"],
)  # fmt: skip
def test_a_row_that_cannot_be_read_is_skipped(
    listing: Listing, service: TableServiceClient, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the rows around it are found; a page goes on behind it."""
    rows = [running(1), running(-1)]
    for row in rows:
        listing.begin(row)
    odd = running().position
    properties = {"PartitionKey": "transfers", "RowKey": f"all!{odd}", "document00": text}
    service.get_table_client(TABLE).create_entity(properties)
    assert found(listing, ALL) == [rows[0], odd, rows[1]]
    assert found(listing, ALL, after=odd) == [rows[1]]
    assert "cannot be read" in caplog.text
    # And it is purged as the others are.
    assert listing.purge(NOW + timedelta(hours=1), lambda _: True, 10) == 2
    assert found(listing, ALL) == []


def test_only_what_is_old_and_over_is_purged(listing: Listing, service: TableServiceClient) -> None:
    """Each row of it, in bounded portions; what runs stays, unless its instance is gone."""
    old = [running(-number) for number in range(1, 31)]
    for row in old:
        listing.begin(row)
        listing.end(ended(row))
    goes_on, gone, young = running(-60), running(-61), running(1)
    for row in (goes_on, gone, young):
        listing.begin(row)
    listing.end(ended(young))

    def purge(limit: int) -> int:
        return listing.purge(NOW, lambda id_: id_ == gone.id, limit)

    assert [purge(25), purge(25), purge(25)] == [25, 6, 0]
    assert found(listing, ALL) == [ended(young), goes_on]
    assert len(list(service.get_table_client(TABLE).list_entities())) == 10


def test_what_is_partly_gone_is_purged_as_well(
    listing: Listing, service: TableServiceClient
) -> None:
    """And takes nothing of the others with it."""
    rows = [ended(running(-number)) for number in (1, 2, 3)]
    for row in rows:
        listing.end(row)
    service.get_table_client(TABLE).delete_entity("transfers", f"id!{rows[1].id}")
    service.get_table_client(TABLE).delete_entity("transfers", f"state!attached!{rows[2].position}")
    assert listing.purge(NOW, lambda _: False, 10) == 3
    assert list(service.get_table_client(TABLE).list_entities()) == []


def test_a_listing_out_of_reach_is_unavailable() -> None:
    """Callers decide what to do about it."""
    text = (
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=eA==;"
        "TableEndpoint=http://127.0.0.1:1/devstoreaccount1;"
    )
    with table_service(StorageConnection("AzureWebJobsStorage", text)) as client:
        listing = Listing(client, lambda: NOW)
        for write in (listing.begin, listing.end):
            with pytest.raises(StorageUnavailable, match="could not be reached"):
                write(running())
        with pytest.raises(StorageUnavailable, match="could not be reached"):
            found(listing, ALL)


def test_a_small_transfer_costs_two_requests() -> None:
    """One at the start and one at the end."""
    tables = MemoryTables()
    tables.create_table_if_not_exists(TABLE)
    listing, row = Listing(tables.as_client(), lambda: NOW), running()
    listing.begin(row)
    listing.end(ended(row))
    assert tables.tables[TABLE].requests == 2


def test_a_page_visits_its_own_rows_only() -> None:
    """However many transfers there are: one request, and one row more than it shows."""
    tables = MemoryTables()
    listing = Listing(tables.as_client(), lambda: NOW)
    rows = [running(minutes, mailbox=f"{minutes % 7}@contoso.com") for minutes in range(700)]
    for row in rows:
        listing.begin(row)
    table = tables.tables[TABLE]
    for index in (ALL, by_state(RUNNING), by_mailbox("3@contoso.com")):
        table.requests = table.visited = 0
        assert len(list(islice(listing.newest([index], ALWAYS, "", 51), 50))) == 50
        assert (table.requests, table.visited) == (1, 51)
