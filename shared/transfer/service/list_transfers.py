"""Lists transfers from the app's own tables, page by page; Durable's instances are not searched.

What has ended is shown as the listing has it. For what runs, Durable is queried one by one: at most
one call for each transfer that is shown.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

import azure.durable_functions as df
from pydantic import ValidationError

from shared.errors import StorageUnavailable
from shared.storage.listed import ALL, RUNNING, Listed, by_blob, by_mailbox, by_state
from shared.storage.listing import Listing
from shared.transfer.payloads import UNDER_WAY, Payload, State
from shared.transfer.service.cursor import Cursor
from shared.transfer.service.transfers import Transfer, transfer_of
from shared.transfer.summaries import at_end, list_if_possible
from shared.transfer.workflow.orchestrator import attach_blob

MAX_LISTED = 1_000
# Rows that one call visits, when it searches for what no index holds.
MAX_VISITED = 1_000
# Calls of Durable at the same time.
_AT_ONCE = 16
# Rows that a call corrects, of transfers whose end could not be listed.
_MAX_CORRECTED = 16

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TransferQuery:
    """Which transfers to list. ``q`` is a part of the file's name, in any case.

    ``since`` is 24 hours ago if it is None, ``cursor`` the ``next`` of the page before.
    """

    since: datetime | None = None
    states: tuple[State, ...] = ()
    mailbox: str | None = None
    blob: str | None = None
    q: str | None = None
    top: int = 50
    cursor: str | None = None

    @property
    def indexes(self) -> list[str]:
        """The indexes to read: of those that hold what is wanted, the most selective."""
        if self.blob is not None:
            return [by_blob(self.blob)]
        if self.mailbox is not None:
            return [by_mailbox(self.mailbox)]
        return [by_state(state) for state in sorted(self.row_states)] or [ALL]

    @property
    def row_states(self) -> set[str]:
        """The states that rows have, for those that are wanted; empty for any."""
        return {RUNNING if state in UNDER_WAY else state for state in self.states}

    @property
    def filters(self) -> dict[str, object]:
        """What a cursor is good for."""
        named = (self.mailbox or "").lower()
        return {"s": sorted(set(self.states)), "m": named, "b": self.blob, "q": self.q}

    def wants(self, row: Listed) -> bool:
        """Whether the row may be of a wanted transfer."""
        name = str(row.summary.get("fileName") or row.blob.rpartition("/")[2])
        return (
            (not self.states or row.state in self.row_states)
            and (self.mailbox is None or (row.mailbox or "").lower() == self.mailbox.lower())
            and (self.blob is None or row.blob == self.blob)
            and (self.q is None or self.q.lower() in name.lower())
        )


class Transfers(Payload):
    """A page of transfers. ``next`` is the cursor of the next page; the last page has none."""

    items: tuple[Transfer, ...]
    next: str | None = None

    def to_json(self) -> dict[str, object]:
        """All fields of the transfers. Those that are not known yet are null."""
        page: dict[str, object] = {"items": [each.to_json() for each in self.items]}
        return page | ({"next": self.next} if self.next else {})


async def list_transfers(
    client: df.DurableFunctionsClient, listing: Listing, query: TransferQuery
) -> Transfers:
    """A page of the transfers that were started since then, newest first.

    A page that is searched for part of a name may have fewer than ``top``, and a next one all the
    same. Raises :class:`InvalidRequest` for a cursor of another query, and
    :class:`StorageUnavailable`.
    """
    since = query.since or listing.clock() - timedelta(days=1)
    start = Cursor("", since)
    if query.cursor is not None:
        start = Cursor.read(query.cursor, query.filters, query.since)
    rows, last = await asyncio.to_thread(_page, listing, query, start)
    items = await _as_they_are(client, listing, rows)
    following = replace(start, after=last).to_text(query.filters, query.since) if last else None
    wanted = [each for each in items if not query.states or each.state in query.states]
    return Transfers(items=tuple(wanted), next=following)


async def with_removal(listing: Listing, transfer: Transfer) -> Transfer:
    """The transfer, whose own end does not say that its attachment was removed later."""
    if transfer.state != "attached":
        return transfer
    try:
        row = await asyncio.to_thread(listing.find, transfer.id)
    except StorageUnavailable as error:
        _LOG.warning("transfer %s: a removal would not be shown: %s", transfer.id, error)
        return transfer
    removed = row is not None and row.state == "removed"
    return transfer.model_copy(update={"state": "removed"}) if removed else transfer


def _page(listing: Listing, query: TransferQuery, start: Cursor) -> tuple[list[Listed], str]:
    """The page's rows, and the position of the last one that was visited if there are more."""
    at_once = min(query.top + 1, MAX_LISTED)
    if query.q is not None:
        at_once = MAX_VISITED
    found = listing.newest(query.indexes, start.since, start.after, at_once)
    rows: list[Listed] = []
    last = ""
    for row in islice(found, MAX_VISITED):
        last = row if isinstance(row, str) else row.position
        if isinstance(row, Listed) and query.wants(row):
            rows.append(row)
            if len(rows) == query.top:
                break
    return rows, last if any(True for _ in found) else ""


async def _as_they_are(
    client: df.DurableFunctionsClient, listing: Listing, rows: Iterable[Listed]
) -> list[Transfer]:
    """The transfers of these rows; those that run, as Durable has them now."""
    known = list(_transfers(rows))
    limit = asyncio.Semaphore(_AT_ONCE)

    async def now(row: Listed, listed: Transfer) -> Transfer:
        if not row.is_running:
            return listed
        async with limit:
            state = await client.get_orchestration_state(row.id)
        return transfer_of(state) if state and state.name == attach_blob.__name__ else listed

    transfers = await asyncio.gather(*(now(row, listed) for row, listed in known))
    lost = [
        (row, each)
        for (row, _), each in zip(known, transfers, strict=True)
        if row.is_running and each.completed_at
    ]
    await asyncio.to_thread(_correct, listing, lost[:_MAX_CORRECTED])
    return transfers


def _transfers(rows: Iterable[Listed]) -> Iterator[tuple[Listed, Transfer]]:
    for row in rows:
        try:
            yield row, Transfer.from_json({**row.summary, "id": row.id})
        except ValidationError:
            _LOG.warning("transfer %s is not shown: its row in the listing is odd", row.id)


def _correct(listing: Listing, lost: Iterable[tuple[Listed, Transfer]]) -> None:
    """List the ends that were not listed when they came: an instance was terminated, say."""
    for row, transfer in lost:
        status = transfer.model_copy(update={"created_at": row.started})
        list_if_possible(listing.end, at_end(row.id, status, listing.clock()))
