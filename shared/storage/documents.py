"""JSON documents in the rows of a table of Azure Storage; each write is conditional on an ETag.

A document is text that is split over properties, since one holds 64 KiB of UTF-16 and a row 1 MiB.
Of two writers that have read the same version one succeeds, and the other one gets
:class:`DocumentConflict`: what a row says is decided by one of them at a time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import batched
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.core.paging import ItemPaged
from azure.data.tables import TableEntity, TableServiceClient, UpdateMode

from shared.errors import StorageUnavailable
from shared.storage.storage_errors import table_error

MAX_DOCUMENT_CHARACTERS = 450_000
_PROPERTY_CHARACTERS = 30_000
_PART = "document"
_NONE = "none"
_NO_VERSION = "W/\"datetime'2000-01-01T00%3A00%3A00.0000000Z'\""


class DocumentConflict(StorageUnavailable, code="StorageUnavailable"):
    """Raised when somebody else has written the row since it was read."""

    def __init__(self, key: "Key") -> None:
        super().__init__(f"The row {key} was written by another delivery at the same time.")


@dataclass(frozen=True, slots=True)
class Key:
    """A row's keys. Neither may hold ``/``, ``\\``, ``#``, ``?`` or a control character."""

    partition: str
    row: str

    def __str__(self) -> str:
        return f"{self.partition}/{self.row}"


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it was read; ``etag`` is its version.

    ``columns`` are the row's other properties, by which rows can be selected.
    """

    text: str
    etag: str
    columns: Mapping[str, Any] = field(default_factory=dict, repr=False)


class DocumentTable:
    """The documents of one table, which is created at the first write."""

    def __init__(self, service: TableServiceClient, name: str) -> None:
        self.name = name
        self.service = service
        self.table = service.get_table_client(name)

    def read(self, key: Key) -> Document | None:
        """The document with this key, None when there is none.

        Raises :class:`StorageUnavailable`.
        """
        try:
            row = self.table.get_entity(key.partition, key.row)
        except ResourceNotFoundError:
            return None
        except AzureError as error:
            raise table_error(error, self.name) from None
        return document_of(row)

    def write(
        self, key: Key, text: str, etag: str, columns: Mapping[str, Any] | None = None
    ) -> str:
        """Write the document in place of the version with this ETag, or of none; its new ETag.

        Raises :class:`DocumentConflict`, and :class:`StorageUnavailable`.
        """
        row = row_of(key, text, columns or {})
        try:
            try:
                return self._write(row, etag)
            except ResourceNotFoundError:
                if etag:
                    # Deleted since it was read.
                    raise DocumentConflict(key) from None
                self.service.create_table_if_not_exists(self.name)
                return self._write(row, etag)
        except (ResourceExistsError, ResourceModifiedError):
            raise DocumentConflict(key) from None
        except AzureError as error:
            raise table_error(error, self.name) from None

    def delete(self, key: Key, etag: str) -> None:
        """Delete the version with this ETag; harmless when it is gone or another one is there.

        Raises :class:`StorageUnavailable`.
        """
        try:
            self.table.delete_entity(
                key.partition, key.row, etag=etag, match_condition=MatchConditions.IfNotModified
            )
        except (ResourceNotFoundError, ResourceModifiedError):
            return
        except AzureError as error:
            raise table_error(error, self.name) from None

    def sample(self, size: int, seconds: float) -> list[tuple[Key, Document]] | None:
        """The table's first rows, None if there is no table; shows that it can be written as well.

        One try of some seconds. Raises :class:`StorageUnavailable`.
        """
        once: dict[str, Any] = {
            "retry_total": 0,
            "connection_timeout": seconds,
            "read_timeout": seconds,
        }
        try:
            pages = self.table.list_entities(results_per_page=size, **once).by_page()
            found = [(key_of(row), document_of(row)) for row in next(pages)]
        except ResourceNotFoundError:
            return None
        except AzureError as error:
            raise table_error(error, self.name) from None
        try:
            # Changes nothing: no row has this version.
            self.table.delete_entity(
                _NONE,
                _NONE,
                etag=_NO_VERSION,
                match_condition=MatchConditions.IfNotModified,
                **once,
            )
        except (ResourceNotFoundError, ResourceModifiedError):
            return found
        except AzureError as error:
            raise table_error(error, self.name) from None
        return found

    def written_before(
        self, time: datetime, column: str
    ) -> Iterator[list[tuple[Key, str, object]]]:
        """Keys, ETags and the value of a column, of the rows that were last written before then.

        Page by page; most pages are empty, since the whole table is visited. Raises
        :class:`StorageUnavailable`.
        """
        rows = self.table.query_entities(
            "Timestamp lt @time",
            parameters={"time": time},
            select=["PartitionKey", "RowKey", column],
        )
        for page in pages_of(rows, self.name):
            yield [(key_of(row), str(row.metadata["etag"]), row.get(column)) for row in page]

    def _write(self, row: Mapping[str, Any], etag: str) -> str:
        # Not retried by the SDK: a repeated write would meet its own row.
        if not etag:
            return str(self.table.create_entity(row, retry_total=0)["etag"])
        written = self.table.update_entity(
            row,
            mode=UpdateMode.REPLACE,
            etag=etag,
            match_condition=MatchConditions.IfNotModified,
            retry_total=0,
        )
        return str(written["etag"])


def row_of(key: Key, text: str, columns: Mapping[str, Any]) -> dict[str, Any]:
    """The properties of a row with this document."""
    parts = ["".join(part) for part in batched(text, _PROPERTY_CHARACTERS, strict=False)]
    row = {"PartitionKey": key.partition, "RowKey": key.row, **columns}
    return row | {f"{_PART}{number:02}": part for number, part in enumerate(parts)}


def key_of(row: TableEntity) -> Key:
    """The keys of a row that was read."""
    return Key(row["PartitionKey"], row["RowKey"])


def document_of(row: TableEntity) -> Document:
    """The document of a row that was read."""
    parts = sorted(name for name in row if name.startswith(_PART))
    columns = {name: value for name, value in row.items() if name not in parts}
    text = "".join(str(row[name]) for name in parts)
    return Document(text, str(row.metadata["etag"]), columns)


def pages_of(rows: ItemPaged[TableEntity], table: str) -> Iterator[list[TableEntity]]:
    """The pages of a query, none if there is no such table.

    Raises :class:`StorageUnavailable`.
    """
    pages = rows.by_page()
    while True:
        try:
            page = next(pages, None)
            if page is None:
                return
            found = list(page)
        except ResourceNotFoundError:
            return
        except AzureError as error:
            raise table_error(error, table) from None
        yield found
