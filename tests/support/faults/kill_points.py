"""The points at which the worker is killed."""

from dataclasses import dataclass

from infra.local.outlook import Kind
from tests.support.faults.storage_proxy import Side

RANGE_BYTES = 4_096


@dataclass(frozen=True)
class AtOutlook:
    """A kill while Outlook holds a request of this kind: not read yet, or done and not answered."""

    kind: Kind
    accepted: bool

    def __str__(self) -> str:
        return f"{self.kind}, {'accepted' if self.accepted else 'before it is read'}"


@dataclass(frozen=True)
class AtStorage:
    """A kill while the proxy holds a call to storage, or the answer to it.

    ``contains`` are parts of the head of the request; ``of_tables``: of the table service.
    """

    name: str
    method: bytes
    contains: tuple[bytes, ...]
    side: Side
    of_tables: bool = False

    def __str__(self) -> str:
        return f"{self.name}, {self.side} held"

    def matches(self, head: bytes) -> bool:
        """Whether this is the head of such a request."""
        return head.startswith(self.method) and all(each in head for each in self.contains)


type Point = AtOutlook | AtStorage

_CLAIM, _LEDGER, _RECORD = (b"/transfers HTTP",), (b"/transfers(",), (b"comp=metadata",)
_SLICE = (b"/outlook-attachments/", b"bytes=%d-" % RANGE_BYTES)
POINTS: tuple[Point, ...] = (
    *(
        AtOutlook(kind, accepted)
        for kind in ("small_post", "create", "range", "last_range")
        for accepted in (False, True)
    ),
    AtStorage("first row", b"POST ", _CLAIM, "request", of_tables=True),
    AtStorage("first row", b"POST ", _CLAIM, "answer", of_tables=True),
    AtStorage("second slice", b"GET ", _SLICE, "answer"),
    AtStorage("record", b"PUT ", _RECORD, "request"),
    AtStorage("record", b"PUT ", _RECORD, "answer"),
    AtStorage("later row", b"PUT ", _LEDGER, "answer", of_tables=True),
)
