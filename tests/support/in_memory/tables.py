"""A table service in memory, for tests that need thousands of rows: as Azure and Azurite behave.

A row that exists cannot be created, and a conditional call for another version gets 412.
"""

import threading
from collections.abc import Mapping
from itertools import count
from typing import Any, cast

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import TableEntity, TableServiceClient

from shared.storage.ledger import TABLE
from tests.support.engine.stalled_delivery import operation


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
    """The calls of ``TableClient`` that the product makes."""

    def __init__(self) -> None:
        self.exists = False
        self.rows: dict[tuple[str, str], tuple[dict[str, Any], str]] = {}
        self._lock = threading.Lock()
        self._etags = count(1)

    @operation
    def get_entity(self, partition_key: str, row_key: str) -> TableEntity:
        """A row with its ETag."""
        with self._lock:
            row, etag = self._find((partition_key, row_key))
            entity = TableEntity(row)
            entity._metadata = {"etag": etag, "timestamp": None}  # the SDK fills it from an answer
            return entity

    @operation
    def create_entity(self, row: Mapping[str, Any], **_: object) -> dict[str, Any]:
        """Write a row that is not there yet."""
        with self._lock:
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
            self._pinned(_key(row), etag)
            return self._write(row)

    @operation
    def delete_entity(
        self, partition_key: str, row_key: str, *, etag: str, match_condition: MatchConditions
    ) -> None:
        """Delete the version of a row with this ETag."""
        assert match_condition is MatchConditions.IfNotModified
        with self._lock:
            self._pinned((partition_key, row_key), etag)
            del self.rows[partition_key, row_key]

    def _write(self, row: Mapping[str, Any]) -> dict[str, Any]:
        etag = f"W/\"datetime'{next(self._etags):020}'\""
        self.rows[_key(row)] = dict(row), etag
        return {"etag": etag}

    def _pinned(self, key: tuple[str, str], etag: str) -> None:
        _, now = self._find(key)
        if now != etag:
            raise _error(ResourceModifiedError, 412, "UpdateConditionNotSatisfied")

    def _find(self, key: tuple[str, str]) -> tuple[dict[str, Any], str]:
        if key not in self.rows:
            raise _error(ResourceNotFoundError, 404, "ResourceNotFound")
        return self.rows[key]


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["PartitionKey"], row["RowKey"]


def _error(kind: type[HttpResponseError], status: int, code: str) -> HttpResponseError:
    error = kind(code)
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
