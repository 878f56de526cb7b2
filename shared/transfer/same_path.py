"""Other transfers from the same blob name to the same item, by the ledger."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from shared.outlook.item import OutlookItem
from shared.storage.ledger import Ledger, LedgerEntry
from shared.storage.listed import Listed, by_blob
from shared.storage.listing import Listing

_EVER = datetime(1970, 1, 1, tzinfo=UTC)
# Transfers of one blob name that are visited, and those to the item that are looked up.
_VISITED, _LATEST = 100, 5


@dataclass(frozen=True, slots=True)
class SamePath:
    """Finds them. The listing names the transfers; the ledger says what they did."""

    ledger: Ledger
    listing: Listing

    def others(self, transfer_id: str, blob: str, item: OutlookItem) -> list[LedgerEntry]:
        """The rows of the latest transfers but this one: at most five.

        Raises :class:`~shared.errors.StorageUnavailable`.
        """
        ids = islice(self._ids(transfer_id, blob, item), _LATEST)
        return [entry for each in ids if (entry := self.ledger.get(each))]

    def _ids(self, transfer_id: str, blob: str, item: OutlookItem) -> Iterator[str]:
        rows = self.listing.newest([by_blob(blob)], _EVER, "", _VISITED)
        for row in islice(rows, _VISITED):
            if isinstance(row, Listed) and row.id != transfer_id and _goes_to(row, item):
                yield row.id


def _goes_to(row: Listed, item: OutlookItem) -> bool:
    summary = row.summary
    named = (str(row.mailbox).lower(), summary.get("itemType"), summary.get("itemId"))
    return named == (item.mailbox.lower(), item.type, item.id)
