"""Pages of transfers, from the listing and from the instances of those that run."""

import asyncio
import base64
import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

import azure.durable_functions as df
import pytest
from durabletask.client import OrchestrationState, OrchestrationStatus

from shared.errors import InvalidRequest
from shared.storage.listed import Listed
from shared.storage.listing import TABLE, Listing
from shared.transfer.payloads import Failure, State, TransferRequest
from shared.transfer.service.list_transfers import (
    MAX_VISITED,
    TransferQuery,
    Transfers,
    list_transfers,
)
from shared.transfer.summaries import at_end, at_start
from tests.support.engine.clock import EPOCH
from tests.support.in_memory.tables import MemoryTables

A, B = "a@contoso.com", "B@contoso.com"


class Hub:
    """Durable's client, with these instances; ``calls`` are the ids that were read."""

    def __init__(self) -> None:
        self.instances: dict[str, OrchestrationState] = {}
        self.calls: list[str] = []

    async def get_orchestration_state(self, id_: str) -> OrchestrationState | None:
        self.calls.append(id_)
        return self.instances.get(id_)


class App:
    """A listing, and the instances behind it."""

    def __init__(self) -> None:
        self.tables = MemoryTables()
        self.listing = Listing(self.tables.as_client(), lambda: EPOCH)
        self.hub = Hub()
        self.number = 0

    def started(self, blob: str = "a.pdf", mailbox: str | None = A, minutes: int = 0) -> Listed:
        """List a transfer that was started so many minutes ago."""
        self.number += 1
        created = EPOCH - timedelta(minutes=minutes, microseconds=-self.number)
        request = _request(blob, mailbox, created)
        row = at_start(f"{'ab' * 8}-{self.number:016x}", request, EPOCH)
        self.listing.begin(row)
        return row

    def ended(self, state: State = "attached", blob: str = "a.pdf", **how: Any) -> Listed:
        """List a transfer that has ended."""
        row = self.started(blob, **how)
        request = _request(blob, row.mailbox, row.started)
        error = Failure(code="X", message="y") if state == "failed" else None
        status = request.status.model_copy(update={"state": state, "error": error})
        end = at_end(row.id, status, EPOCH)
        self.listing.end(end)
        return end

    def shows(self, row: Listed, runtime: OrchestrationStatus, **status: Any) -> None:
        """The instance of a transfer, with this status."""
        text = json.dumps({"state": "uploading", "blob": row.blob, **status})
        self.hub.instances[row.id] = OrchestrationState(
            instance_id=row.id,
            name="attach_blob",
            runtime_status=runtime,
            created_at=EPOCH.replace(tzinfo=None),
            last_updated_at=EPOCH.replace(tzinfo=None),
            serialized_input=json.dumps({"blob": row.blob, "mailbox": row.mailbox}),
            serialized_output=text if runtime is OrchestrationStatus.COMPLETED else None,
            serialized_custom_status=text,
            failure_details=None,
        )

    def page(self, **query: Any) -> Transfers:
        """One page."""
        client = cast("df.DurableFunctionsClient", self.hub)
        return asyncio.run(list_transfers(client, self.listing, TransferQuery(**query)))

    def ids(self, **query: Any) -> list[str]:
        """The ids of all pages."""
        found, page = [], self.page(**query)
        while True:
            found += [each.id for each in page.items]
            if page.next is None:
                return found
            page = self.page(**query, cursor=page.next)


def _request(blob: str, mailbox: str | None, created: datetime) -> TransferRequest:
    item: dict[str, Any] = {"mailbox": mailbox, "item_type": "message", "item_id": "M="}
    return TransferRequest(blob=blob, created_at=created, **(item if mailbox else {}))


def ids_of(rows: list[Listed]) -> list[str]:
    return [row.id for row in sorted(rows, key=lambda row: row.position)]


def test_pages_follow_each_other_without_gaps_or_repetitions() -> None:
    """For any size of a page and each filter; newest first."""
    app = App()
    kinds: list[tuple[State, str | None]] = [
        ("attached", A),
        ("failed", B),
        ("attached", B),
        ("removed", A),
        ("unaddressed", None),
    ] * 2
    rows = [
        app.ended(state, f"{number}.pdf", mailbox=mailbox)
        for number, (state, mailbox) in enumerate(kinds)
    ]
    for top in (1, 2, 3, 10, 11):
        assert app.ids(top=top) == ids_of(rows)
        mine = [row for row in rows if row.mailbox == B]
        assert app.ids(top=top, mailbox="b@CONTOSO.com") == ids_of(mine)
        states: tuple[State, ...] = ("failed", "unaddressed", "removed")
        assert app.ids(top=top, states=states) == ids_of([r for r in rows if r.state in states])
        both = [row for row in mine if row.state == "failed"]
        assert app.ids(top=top, mailbox=B, states=("failed",)) == ids_of(both)
        assert app.ids(top=top, blob="3.pdf") == [rows[3].id]


def test_the_last_page_has_no_next() -> None:
    """Also when it is full; it is missing then, and not null."""
    app = App()
    for _ in range(4):
        app.ended()
    first = app.page(top=2)
    assert first.next
    last = app.page(top=2, cursor=first.next)
    assert (len(last.items), last.next) == (2, None)
    assert last.to_json().keys() == {"items"}
    assert app.page(top=4).next is None


def test_rows_that_are_added_meanwhile_move_no_page() -> None:
    """The second page goes on where the first one ended."""
    app = App()
    rows = [app.ended(minutes=number) for number in range(4)]
    first = app.page(top=2)
    app.ended()
    second = app.page(top=2, cursor=first.next)
    assert [each.id for each in (*first.items, *second.items)] == ids_of(rows)


def test_a_transfer_that_has_ended_is_shown_as_it_was_listed() -> None:
    """Without a call of Durable: its instance may be purged."""
    app = App()
    row = app.ended("failed", "in/scan.pdf")
    (found,) = app.page().items
    assert (found.id, found.state, found.blob, found.mailbox) == (row.id, "failed", row.blob, A)
    assert found.error == Failure(code="X", message="y")
    assert found.created_at == row.started
    assert found.completed_at == found.updated_at == EPOCH
    assert app.hub.calls == []


def test_a_transfer_that_runs_is_shown_as_it_is_now() -> None:
    """Its row says only that it runs; one whose instance is not there yet is queued."""
    app = App()
    row, other = app.started(), app.started()
    app.shows(row, OrchestrationStatus.RUNNING, bytesSent=3)
    by_id = {each.id: each for each in app.page().items}
    assert (by_id[row.id].state, by_id[row.id].bytes_sent) == ("uploading", 3)
    assert by_id[other.id].state == "queued"
    assert [each.id for each in app.page(states=("uploading", "failed")).items] == [row.id]
    assert [each.id for each in app.page(states=("waiting",)).items] == []


def test_durable_is_queried_for_a_page_at_most() -> None:
    """However many transfers run."""
    app = App()
    rows = [app.started() for _ in range(40)]
    assert len(app.page(top=10).items) == 10
    assert sorted(app.hub.calls) == sorted(ids_of(rows)[:10])


@pytest.mark.parametrize(
    ("runtime", "state"),
    [
        (OrchestrationStatus.TERMINATED, "cancelled"),
        (OrchestrationStatus.FAILED, "failed"),
        (OrchestrationStatus.COMPLETED, "attached"),
    ],
)
def test_an_end_that_was_not_listed_is_listed_when_it_is_seen(
    runtime: OrchestrationStatus, state: State
) -> None:
    """An administrator terminated the instance, or the tables did not respond at its end."""
    app = App()
    row = app.started()
    app.shows(row, runtime, **({"state": state} if state == "attached" else {}))
    assert [each.state for each in app.page().items] == [state]
    app.hub.instances.clear()
    assert [each.state for each in app.page(states=(state,)).items] == [state]
    assert app.page(states=("queued", "uploading")).items == ()


def test_part_of_a_name_is_searched_for_in_bounded_pages() -> None:
    """A page may be short, or empty, and have a next one; nothing is lost."""
    app = App()
    hit = app.ended(blob="in/Scan-7.PDF", minutes=10)
    for _ in range(MAX_VISITED):
        app.ended(blob="scans/other.txt")
    tables = app.tables.tables[TABLE]
    tables.requests = tables.visited = 0
    page = app.page(q="scan-7.p")
    assert page.items == ()
    assert page.next
    assert tables.visited <= MAX_VISITED + 1
    assert app.ids(q="scan-7.p") == [hit.id]
    assert app.ids(q="scans/") == []


def test_older_transfers_are_shown_on_request_only() -> None:
    """The default is a day; the time is that of the first page on all pages."""
    app = App()
    old, young = app.ended(minutes=1_441), app.ended(minutes=1_439)
    assert app.ids() == [young.id]
    assert app.ids(since=EPOCH - timedelta(days=2), top=1) == [young.id, old.id]


def broken(cursor: str) -> list[str]:
    """Cursors that are almost this one."""
    after, since, digest = json.loads(base64.urlsafe_b64decode(cursor))
    values: list[Any] = [
        [after.replace("ab", "cd"), since, digest],
        [after, since.replace("10", "11"), digest],
        [after, since, digest[:-1]],
        [1, 2, 3],
        [],
        None,
    ]
    made = [base64.urlsafe_b64encode(json.dumps(each).encode()).decode() for each in values]
    return [*made, "", "x", "\u00fc", cursor[:-2], f"{cursor}AA", "////"]


def test_a_cursor_that_this_query_did_not_return_is_refused() -> None:
    """Damaged, or of another query; the sentence says what to do."""
    app = App()
    for _ in range(3):
        app.ended()
    cursor = app.page(top=1, mailbox=A).next
    assert cursor
    assert app.page(top=2, mailbox=A.upper(), cursor=cursor).items
    for each in broken(cursor):
        with pytest.raises(InvalidRequest) as refused:
            app.page(mailbox=A, cursor=each)
        (fault,) = refused.value.details
        assert fault.field == "cursor"
        assert "omit cursor" in fault.message
    for other in ({}, {"mailbox": B}, {"mailbox": A, "q": "x"}, {"mailbox": A, "since": EPOCH}):
        with pytest.raises(InvalidRequest):
            app.page(**other, cursor=cursor)


def test_a_row_that_is_no_transfer_is_skipped(caplog: pytest.LogCaptureFixture) -> None:
    """Written by another program: no error for the rows around it."""
    app = App()
    rows = [app.ended(), app.ended()]
    odd = replace(app.ended(), summary={"state": "odd"})
    app.listing.end(odd)
    assert app.ids() == ids_of(rows)
    assert "its row in the listing is odd" in caplog.text


def test_before_the_first_transfer_the_list_is_empty() -> None:
    """There is no table yet."""
    assert App().page().to_json() == {"items": []}
