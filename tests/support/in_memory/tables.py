"""A table service in memory, for tests that need thousands of rows: as Azure and Azurite behave.

A row that exists cannot be created, and a conditional call for another version gets 412. Keys are
sorted, so that a query visits the range of keys in its filter, and no other row.
"""

import re
import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any, cast

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import TableEntity, TableServiceClient, TableTransactionError

from shared.storage.ledger import TABLE
from tests.support.engine.stalled_delivery import operation
from tests.support.in_memory.table_rows import Condition, Key, Rows, meets

# Azure's limit for a transaction.
_OPERATIONS = 100
_CONDITION = re.compile(r"(\w+) (eq|ne|ge|gt|le|lt) (?:@(\w+)|'([^']*)')")

type Operation = tuple[str, Mapping[str, Any], Mapping[str, Any]]


class MemoryTables:
    """The calls of ``TableServiceClient`` that the product makes, on dictionaries."""

    def __init__(self) -> None:
        self.tables: dict[str, MemoryTable] = {}

    def as_client(self) -> TableServiceClient:
        """This service where the product expects the SDK's client."""
        return cast("TableServiceClient", self)

    def get_table_client(self, name: str) -> "MemoryTable":
        """A client of one table, whether it exists or not."""
        return self.tables.setdefault(name, MemoryTable())

    def create_table_if_not_exists(self, name: str) -> "MemoryTable":
        """Create the table."""
        table = self.get_table_client(name)
        table.exists = True
        return table


class MemoryTable:
    """The calls of ``TableClient`` that the product makes.

    ``requests`` counts them; ``visited`` counts the rows that they had to look at.
    """

    def __init__(self) -> None:
        self.exists = False
        self.rows: dict[Key, tuple[dict[str, Any], str]] = {}
        self.requests = 0
        self.visited = 0
        # May hold keys of rows that are gone.
        self._keys: list[Key] = []
        self._lock = threading.Lock()
        self._etags = count(1)

    @operation
    def get_entity(self, partition_key: str, row_key: str, **_: object) -> TableEntity:
        """A row with its ETag."""
        with self._lock:
            self.requests += 1
            self.visited += 1
            return self._entity((partition_key, row_key))

    def list_entities(self, *, results_per_page: int | None = None, **_: object) -> Rows:
        """All rows."""
        return Rows(self.page, (), results_per_page)

    def query_entities(
        self,
        query_filter: str,
        *,
        parameters: Mapping[str, Any] | None = None,
        results_per_page: int | None = None,
        **_: object,
    ) -> Rows:
        """The rows that meet conditions, which are all joined by ``and``."""
        conditions = [
            (name, operator, (parameters or {})[given] if given else text)
            for name, operator, given, text in _CONDITION.findall(query_filter)
        ]
        assert len(conditions) == query_filter.count(" and ") + 1, query_filter
        return Rows(self.page, conditions, results_per_page)

    def submit_transaction(
        self, operations: Iterable[Operation], **_options: object
    ) -> list[dict[str, Any]]:
        """All of these operations, or none of them."""
        wanted = list(operations)
        partitions = {row["PartitionKey"] for _, row, _ in wanted}
        assert len(partitions) == 1
        assert len(wanted) <= _OPERATIONS
        with self._lock:
            self.requests += 1
            if not self.exists:
                raise _error(TableTransactionError, 404, "TableNotFound")
            for kind, row, options in wanted:
                if kind == "update":
                    self._presumed(_key(row), options["etag"])
                if kind == "create" and _key(row) in self.rows:
                    raise _error(TableTransactionError, 409, "EntityAlreadyExists")
                if kind == "delete" and _key(row) not in self.rows:
                    raise _error(TableTransactionError, 404, "ResourceNotFound")
            return [self._apply(kind, row) for kind, row, _ in wanted]

    @operation
    def create_entity(self, row: Mapping[str, Any], **_: object) -> dict[str, Any]:
        """Write a row that is not there yet."""
        with self._lock:
            self.requests += 1
            if not self.exists:
                raise _error(ResourceNotFoundError, 404, "TableNotFound")
            if _key(row) in self.rows:
                raise _error(ResourceExistsError, 409, "EntityAlreadyExists")
            return self._write(row)

    @operation
    def update_entity(
        self, row: Mapping[str, Any], *, etag: str, match_condition: MatchConditions, **_: object
    ) -> dict[str, Any]:
        """Replace the version of a row with this ETag."""
        assert match_condition is MatchConditions.IfNotModified
        with self._lock:
            self.requests += 1
            self._pinned(_key(row), etag)
            return self._write(row)

    @operation
    def delete_entity(
        self,
        partition_key: str,
        row_key: str,
        *,
        etag: str = "",
        match_condition: MatchConditions | None = None,
        **_: object,
    ) -> None:
        """Delete the version of a row with this ETag; without one, any."""
        assert bool(etag) is (match_condition is MatchConditions.IfNotModified)
        with self._lock:
            self.requests += 1
            if etag:
                self._pinned((partition_key, row_key), etag)
            self._find((partition_key, row_key))
            del self.rows[partition_key, row_key]

    def page(
        self, conditions: Sequence[Condition], after: Key | None, size: int
    ) -> tuple[list[TableEntity], Key | None]:
        """At most so many rows that come after this key, and the last key if there may be more."""
        with self._lock:
            self.requests += 1
            if not self.exists:
                raise _error(ResourceNotFoundError, 404, "TableNotFound")
            low, high = self._range(conditions)
            low = max(low, bisect_right(self._keys, after)) if after else low
            found: list[TableEntity] = []
            for key in self._keys[low:high]:
                if key not in self.rows:
                    continue
                if len(found) == size:
                    return found, _key(found[-1])
                self.visited += 1
                entity = self._entity(key)
                if all(meets(entity, each) for each in conditions):
                    found.append(entity)
            return found, None

    def _range(self, conditions: Sequence[Condition]) -> tuple[int, int]:
        """Where the keys begin and end that can meet the conditions."""
        given = {(name, operator): value for name, operator, value in conditions}
        if (partition := given.get(("PartitionKey", "eq"))) is None:
            return 0, len(self._keys)
        low = given.get(("RowKey", "gt"), given.get(("RowKey", "ge"), ""))
        high = given.get(("RowKey", "lt"), given.get(("RowKey", "le"), "\U0010ffff"))
        return bisect_left(self._keys, (partition, low)), bisect_right(
            self._keys, (partition, high)
        )

    def _apply(self, kind: str, row: Mapping[str, Any]) -> Any:
        if kind != "delete":
            return self._write(row)
        del self.rows[_key(row)]
        return {}

    def _entity(self, key: Key) -> TableEntity:
        row, etag = self._find(key)
        entity = TableEntity(row)
        entity._metadata = {"etag": etag, "timestamp": None}  # the SDK fills it from an answer
        return entity

    def _write(self, row: Mapping[str, Any]) -> dict[str, Any]:
        if _key(row) not in self.rows:
            at = bisect_left(self._keys, _key(row))
            if self._keys[at : at + 1] != [_key(row)]:
                insort(self._keys, _key(row))
        etag = f"W/\"datetime'{next(self._etags):020}'\""
        self.rows[_key(row)] = dict(row), etag
        return {"etag": etag}

    def _pinned(self, key: tuple[str, str], etag: str) -> None:
        _, now = self._find(key)
        if now != etag:
            raise _error(ResourceModifiedError, 412, "UpdateConditionNotSatisfied")

    def _presumed(self, key: Key, etag: str) -> None:
        if key not in self.rows:
            raise _error(TableTransactionError, 404, "ResourceNotFound")
        if self.rows[key][1] != etag:
            raise _error(TableTransactionError, 412, "UpdateConditionNotSatisfied")

    def _find(self, key: tuple[str, str]) -> tuple[dict[str, Any], str]:
        if key not in self.rows:
            raise _error(ResourceNotFoundError, 404, "ResourceNotFound")
        return self.rows[key]


def _key(row: Mapping[str, Any]) -> Key:
    return row["PartitionKey"], row["RowKey"]


def _error(kind: type[HttpResponseError], status: int, code: str) -> HttpResponseError:
    error = kind(message=code)
    error.status_code = status
    error.error_code = code  # type: ignore[attr-defined]
    return error


def open_entries(tables: MemoryTables) -> list[str]:
    """The ids of the transfers whose row in the ledger is open, or has an upload URL."""
    rows = tables.get_table_client(TABLE).rows
    return [
        "-".join(key)
        for key, (row, _) in rows.items()
        if row["state"] == "open" or row["uploadUrl"]
    ]
