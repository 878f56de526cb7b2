"""The byte ranges of the upload protocol, as pure functions (docs/protocol.md)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

# "0-", "2097152" and "1998457-2097094" all occur.
_EXPECTED = re.compile(r"(\d{1,15})(?:-(\d{1,15})?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes from ``start`` up to, but not including, ``stop``."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """Bytes in the range."""
        return self.stop - self.start

    def content_range(self, total: int) -> str:
        """The ``Content-Range`` header of a PUT of this range, for a file of ``total`` bytes."""
        return f"bytes {self.start}-{self.stop - 1}/{total}"


def next_expected_range(body: Mapping[str, object], total: int) -> ByteRange | None:
    """The range that the server expects next, None if the response has no valid one.

    The case of the key differs between Graph, Outlook and the clouds, so it is ignored. Of several
    valid ranges, the one with the lowest start counts. A range that starts at ``total`` is empty:
    the server has every byte.
    """
    values = next((v for k, v in body.items() if k.lower() == "nextexpectedranges"), None)
    if isinstance(values, str):
        values = [values]
    if not isinstance(values, list):
        return None
    ranges = [r for r in (_parse(v, total) for v in values) if r is not None]
    return min(ranges, key=lambda r: r.start, default=None)


def _parse(value: object, total: int) -> ByteRange | None:
    match = _EXPECTED.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    start = int(match[1])
    stop = int(match[2]) + 1 if match[2] else total
    if start > total or stop > total or stop < start:
        return None
    return ByteRange(start, stop)
