"""The ledger against a real Azurite, and against the tables in memory."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, cast

import pytest
from azure.core import MatchConditions
from azure.data.tables import TableServiceClient

from shared.errors import StorageUnavailable
from shared.secret import Secret
from shared.settings import StorageConnection
from shared.storage.accounts import table_service
from shared.storage.documents import DocumentConflict
from shared.storage.ledger import TABLE, EntryState, Ledger, LedgerEntry, LedgerUnreadable

_ids = count(1)


@pytest.fixture
def ledger(service: TableServiceClient) -> Ledger:
    return Ledger(service)


@pytest.fixture
def transfer_id() -> str:
    return f"{'ab' * 8}-{next(_ids):016x}"


def test_a_transfer_without_a_row_was_never_sent(ledger: Ledger, transfer_id: str) -> None:
    """Before the table exists as well as after."""
    assert ledger.get(transfer_id) is None
    ledger.put(LedgerEntry(transfer_id))
    assert ledger.get(transfer_id.replace("ab", "cd")) is None


def test_a_row_is_read_as_it_was_written(ledger: Ledger, transfer_id: str) -> None:
    """Run, attempt, state, ids, the upload URL and where ranges began."""
    url = Secret("https://outlook.office.com/api?authtoken=x", "upload URL")
    earlier = ("AAk=", "\u00fc")
    ledger.put(LedgerEntry(transfer_id, "2026", 2, "removed", "id", earlier, url, 7))
    entry = ledger.get(transfer_id)
    assert entry is not None
    assert entry.upload_url is not None
    assert entry.upload_url.reveal() == url.reveal()
    assert replace(entry, upload_url=None, etag="") == LedgerEntry(
        transfer_id, "2026", 2, "removed", "id", earlier, began=7
    )


def test_of_two_deliveries_that_read_the_same_one_writes(ledger: Ledger, transfer_id: str) -> None:
    """With a row and without: the other one gets a conflict, and the row stays."""
    first = ledger.put(LedgerEntry(transfer_id, attempt=1))
    with pytest.raises(DocumentConflict):
        ledger.put(LedgerEntry(transfer_id, attempt=7))
    second = ledger.put(replace(first, attempt=2))
    with pytest.raises(DocumentConflict):
        ledger.put(replace(first, attempt=7))
    assert ledger.get(transfer_id) == second


def test_a_row_that_was_deleted_is_a_conflict(
    ledger: Ledger, service: TableServiceClient, transfer_id: str
) -> None:
    """What was read is not there any more: the writer has to look again."""
    entry = ledger.put(LedgerEntry(transfer_id))
    table = service.get_table_client(TABLE)
    table.delete_entity(
        *transfer_id.split("-"), etag=entry.etag, match_condition=MatchConditions.IfNotModified
    )
    with pytest.raises(DocumentConflict):
        ledger.put(replace(entry, attempt=1))


def test_thousands_of_earlier_attachments_are_kept(ledger: Ledger, transfer_id: str) -> None:
    """As many as fit into a row; one that does not fit is an error and no silence."""
    ids = tuple(f"AAMk{number:0140}" for number in range(2_900))
    ledger.put(LedgerEntry(transfer_id, earlier_attachments=ids))
    entry = ledger.get(transfer_id)
    assert entry is not None
    assert entry.earlier_attachments == ids
    with pytest.raises(StorageUnavailable, match="5,800 attachments"):
        ledger.put(replace(entry, earlier_attachments=ids * 2))


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"document00": "{", "state": "open", "uploadUrl": ""},
        {"document00": "[]", "state": "open", "uploadUrl": ""},
        {"document00": '{"run": "1"}', "state": "open", "uploadUrl": ""},
        {
            "document00": '{"run":"","attempt":1,"attachmentId":"","earlierAttachments":[1]}',
            "state": "open",
            "uploadUrl": "",
        },
        {
            "document00": '{"run":"","attempt":1,"attachmentId":"","earlierAttachments":[]}',
            "state": "odd",
            "uploadUrl": "",
        },
    ],
    ids=["empty", "no JSON", "a list", "half", "ids that are numbers", "unknown state"],
)
def test_a_foreign_row_never_means_never_sent(
    ledger: Ledger, service: TableServiceClient, transfer_id: str, properties: dict[str, Any]
) -> None:
    """Nobody knows what was sent: an error that names the row."""
    partition, row = transfer_id.split("-")
    table = service.create_table_if_not_exists(TABLE)
    table.create_entity({"PartitionKey": partition, "RowKey": row, **properties})
    with pytest.raises(LedgerUnreadable, match=transfer_id):
        ledger.get(transfer_id)


@pytest.mark.parametrize("service", ["azurite"], indirect=True)
def test_only_what_has_ended_before_then_is_purged(ledger: Ledger, transfer_id: str) -> None:
    """An open row stays as long as its instance is there, however old it is."""
    other, left = f"{transfer_id[:-1]}f", f"{transfer_id[:-1]}e"
    for id_, state in ((transfer_id, "open"), (other, "attached"), (left, "open")):
        ledger.put(LedgerEntry(id_, state=cast("EntryState", state)))
    assert ledger.purge(datetime.now(UTC) - timedelta(days=1), left.__eq__) == 0
    assert ledger.purge(datetime.now(UTC) + timedelta(minutes=1), left.__eq__) >= 2
    assert ledger.get(transfer_id) is not None
    assert ledger.get(other) is None
    assert ledger.get(left) is None


def test_a_table_service_out_of_reach_is_unavailable(transfer_id: str) -> None:
    """Nothing is taken for "never sent"."""
    text = (
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=eA==;"
        "TableEndpoint=http://127.0.0.1:1/devstoreaccount1;"
    )
    with table_service(StorageConnection("AzureWebJobsStorage", text)) as client:
        ledger = Ledger(client)
        with pytest.raises(StorageUnavailable, match="could not be reached"):
            ledger.get(transfer_id)
        with pytest.raises(StorageUnavailable, match="could not be reached"):
            ledger.put(LedgerEntry(transfer_id))
