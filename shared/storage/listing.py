"""The listing: a summary of each transfer in rows that are sorted newest first.

All rows are in one partition of a table of the app's own storage account, so that those of a
transfer are written together. Each index has a row with the whole summary: a page is one query for
a range of keys, however many transfers there are. Keys of a transfer's rows:

- ``all!POSITION``, ``state!STATE!POSITION``, ``mailbox!HASH!POSITION`` and ``blob!HASH!POSITION``,
  where POSITION is the inverted time of the start, and the id;
- ``id!ID``, by which the other ones are found.

Nothing is decided by these rows alone: they name the other transfers of a blob, and the ledger says
what those did. A transfer whose rows could not be written goes on.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from heapq import merge
from itertools import batched

from azure.data.tables import TableServiceClient

from shared.storage.documents import Document, DocumentConflict, Key
from shared.storage.listed import ALL, RUNNING, Listed, by_state, inverted, listed, text_of
from shared.storage.ordered_rows import Change, OrderedTable

TABLE = "listing"
_PARTITION = "transfers"
# Greater than the separator, and than anything in a position.
_AFTER = "~"
_WRITES = 3
_PAGE = 1_000
# Transfers whose rows, five each, are deleted in one request of at most 100 changes.
_REMOVED_AT_ONCE = 20

_LOG = logging.getLogger(__name__)


class Listing:
    """Writes and reads the rows. ``clock`` is the app's."""

    def __init__(self, service: TableServiceClient, clock: Callable[[], datetime]) -> None:
        self._rows = OrderedTable(service, TABLE)
        self.clock = clock

    def begin(self, row: Listed) -> None:
        """List a transfer that was started: one request, unless its id is listed already.

        Raises :class:`~shared.errors.StorageUnavailable`.
        """
        text = text_of(row)
        keys = [f"id!{row.id}", *row.index_keys()]
        try:
            self._rows.submit([Change("create", _key(key), text) for key in keys])
        except DocumentConflict:
            # Started again with the same id; or it has ended before it was listed here.
            self.correct(row)

    def end(self, row: Listed) -> None:
        """Show how a transfer ended: one request, unless it is not listed as running.

        Raises :class:`~shared.errors.StorageUnavailable`.
        """
        # Only the rows of this very run are in the way of no later one.
        running = Change("delete", _key(f"{by_state(RUNNING)}!{row.position}"))
        try:
            self._rows.submit([running, *_upserts(row)])
        except DocumentConflict:
            self.correct(row)

    def correct(self, row: Listed) -> None:
        """Write the rows in place of all of this transfer, unless a later run is listed.

        Raises :class:`~shared.errors.StorageUnavailable`.
        """
        for left in reversed(range(_WRITES)):
            document = self._rows.read(_key(f"id!{row.id}"))
            known = _listed(document) if document else None
            if known and (known.started > row.started or _is_no_news(known, row)):
                return
            own = set(row.index_keys())
            stale = [key for key in (known.index_keys() if known else ()) if key not in own]
            changes = _upserts(row, document.etag if document else "")
            deletions = [Change("delete", _key(key)) for key in stale]
            try:
                # Without the deletions at last: a row of them may be gone.
                self._rows.submit(changes + (deletions if left else []))
            except DocumentConflict:
                if not left:
                    raise
                continue
            if not left:
                self._delete(stale)
            return

    def find(self, transfer_id: str) -> Listed | None:
        """The transfer with this id, None if it is not listed or its row cannot be read.

        Raises :class:`~shared.errors.StorageUnavailable`.
        """
        document = self._rows.read(_key(f"id!{transfer_id}"))
        return _listed(document) if document else None

    def newest(
        self, indexes: Sequence[str], since: datetime, after: str, size: int
    ) -> Iterator[Listed | str]:
        """The transfers of these indexes that were started since then, newest first.

        Only those after a position, from one request for every ``size`` rows of an index, when
        they are needed. In place of a row that cannot be read comes its position.
        Raises :class:`~shared.errors.StorageUnavailable`.
        """
        ranges = [self._range(index, after, inverted(since), size) for index in indexes]
        return (row for _, row in merge(*ranges, key=lambda found: found[0]))

    def purge(self, before: datetime, is_gone: Callable[[str], bool], limit: int) -> int:
        """Delete the rows of transfers that were started before then; how many transfers.

        At most so many. One that is listed as running stays unless ``is_gone`` says otherwise.
        Raises :class:`~shared.errors.StorageUnavailable`.
        """
        purged = 0
        low, high = f"{ALL}!{inverted(before)}", f"{ALL}!{_AFTER}"
        for page in self._rows.between(_PARTITION, low, high, min(limit, _PAGE)):
            rows = [(key, _listed(document)) for key, document in page]
            ended = [row for _, row in rows if row and not (row.is_running and not is_gone(row.id))]
            ended = ended[: limit - purged]
            for some in batched(ended, _REMOVED_AT_ONCE, strict=False):
                self._remove(some)
            self._delete([key.row for key, row in rows if row is None])
            purged += len(ended)
            if purged == limit:
                break
        return purged

    def _remove(self, rows: Sequence[Listed]) -> None:
        keys = [key for row in rows for key in (f"id!{row.id}", *row.index_keys())]
        try:
            self._rows.submit([Change("delete", _key(key)) for key in keys])
        except DocumentConflict:
            if len(rows) == 1:
                # Some rows are gone already, or the id has been started again.
                known = self.find(rows[0].id)
                own = known is not None and known.started == rows[0].started
                self._delete(keys if own else rows[0].index_keys())
                return
            for row in rows:
                self._remove([row])

    def _range(
        self, index: str, after: str, oldest: str, size: int
    ) -> Iterator[tuple[str, Listed | str]]:
        low, high = f"{index}!{after}", f"{index}!{oldest}{_AFTER}"
        for page in self._rows.between(_PARTITION, low, high, size):
            for key, document in page:
                position = key.row.removeprefix(f"{index}!")
                yield position, _listed(document) or position

    def _delete(self, keys: Sequence[str]) -> None:
        for each in keys:
            if document := self._rows.read(_key(each)):
                self._rows.delete(_key(each), document.etag)


def _is_no_news(known: Listed, row: Listed) -> bool:
    """Whether the row comes late: the same run is listed already."""
    return row.is_running and known.started == row.started


def _upserts(row: Listed, etag: str = "") -> list[Change]:
    text = text_of(row)
    id_ = _key(f"id!{row.id}")
    first = Change("update", id_, text, etag) if etag else Change("upsert", id_, text)
    return [first, *(Change("upsert", _key(key), text) for key in row.index_keys())]


def _key(row: str) -> Key:
    return Key(_PARTITION, row)


def _listed(document: Document) -> Listed | None:
    row = listed(document.text)
    if row is None:
        _LOG.warning("a row of the table %s cannot be read and is not shown", TABLE)
    return row
