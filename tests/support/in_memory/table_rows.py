"""The result of a query of a table in memory, and the conditions of its filter."""

import operator as compare
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from azure.data.tables import TableEntity

# Azure's limit.
_PAGE = 1_000
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": compare.eq,
    "ne": compare.ne,
    "lt": compare.lt,
    "le": compare.le,
    "gt": compare.gt,
    "ge": compare.ge,
}

type Key = tuple[str, str]
type Condition = tuple[str, str, Any]
type ReadPage = Callable[
    [Sequence[Condition], Key | None, int], tuple[list[TableEntity], Key | None]
]


class Rows:
    """The result of a query, page by page."""

    def __init__(
        self,
        read: ReadPage,
        conditions: Sequence[Condition],
        results_per_page: int | None,
    ) -> None:
        self._read = read
        self._conditions = conditions
        self._size = min(results_per_page or _PAGE, _PAGE)

    def __iter__(self) -> Iterator[TableEntity]:
        for page in self.by_page():
            yield from page

    def by_page(self) -> Iterator[Iterator[TableEntity]]:
        """The pages, each by a request of its own."""
        after: Key | None = None
        while True:
            found, after = self._read(self._conditions, after, self._size)
            yield iter(found)
            if after is None:
                return


def meets(row: Mapping[str, Any], condition: Condition) -> bool:
    """Whether the row has the property, and it is as the condition says."""
    name, operator, value = condition
    if name not in row:
        return False
    return bool(_OPERATORS[operator](row[name], value))
