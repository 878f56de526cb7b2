"""Rows of one table in the order of their keys, and changes of several of them at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError
from azure.data.tables import TableTransactionError, UpdateMode

from shared.storage.documents import (
    Document,
    DocumentConflict,
    DocumentTable,
    Key,
    document_of,
    key_of,
    pages_of,
    row_of,
)
from shared.storage.storage_errors import error_code, table_error

# Of a change that need not be made: nobody waits for it.
_ONE_TRY: dict[str, Any] = {"retry_total": 0, "connection_timeout": 3, "read_timeout": 5}
_NOT_AS_PRESUMED = frozenset(
    {"EntityAlreadyExists", "ResourceNotFound", "EntityNotFound"}
    | {"UpdateConditionNotSatisfied", "ConditionNotMet"}
)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one row, as a part of several.

    *create* presumes that there is no such row, *delete* that there is one, and *update* that it
    has this version. *upsert* presumes nothing.
    """

    kind: Literal["create", "upsert", "update", "delete"]
    key: Key
    text: str = ""
    etag: str = ""

    def operation(self) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """The change as the SDK takes it."""
        options: dict[str, Any] = {"mode": UpdateMode.REPLACE}
        if self.kind == "update":
            options |= {"etag": self.etag, "match_condition": MatchConditions.IfNotModified}
        elif self.kind != "upsert":
            options = {}
        return self.kind, row_of(self.key, self.text, {}), options


class OrderedTable(DocumentTable):
    """A table whose rows are also read in order."""

    def between(
        self, partition: str, low: str, high: str, size: int
    ) -> Iterator[list[tuple[Key, Document]]]:
        """Pages of at most so many rows of a partition, in order, between two row keys.

        Both are excluded. Each page is one request. Raises :class:`StorageUnavailable`.
        """
        rows = self.table.query_entities(
            "PartitionKey eq @partition and RowKey gt @low and RowKey lt @high",
            parameters={"partition": partition, "low": low, "high": high},
            results_per_page=size,
        )
        for page in pages_of(rows, self.name):
            yield [(key_of(row), document_of(row)) for row in page]

    def submit(self, changes: Sequence[Change]) -> None:
        """Make all of these changes or none of them, in one partition; one try of some seconds.

        Raises :class:`DocumentConflict` when a row is not as the changes presume, and
        :class:`StorageUnavailable`.
        """
        try:
            try:
                self._submit(changes)
            except TableTransactionError as error:
                if error_code(error) != "TableNotFound":
                    raise
                self.service.create_table_if_not_exists(self.name)
                self._submit(changes)
        except HttpResponseError as error:
            if error_code(error) in _NOT_AS_PRESUMED:
                raise DocumentConflict(changes[0].key) from None
            raise table_error(error, self.name) from None
        except AzureError as error:
            raise table_error(error, self.name) from None

    def _submit(self, changes: Sequence[Change]) -> None:
        self.table.submit_transaction([each.operation() for each in changes], **_ONE_TRY)
