"""The `Content-Range` of a PUT."""

import re
from dataclasses import dataclass
from typing import Self

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")


@dataclass(frozen=True)
class ByteRange:
    """Bytes `start` to `end`, both included, of a file of `total` bytes."""

    start: int
    end: int
    total: int

    @classmethod
    def parse(cls, text: str | None) -> Self | None:
        """The range in a header value, or None when it is absent or malformed."""
        found = _CONTENT_RANGE.fullmatch(text or "")
        if found is None:
            return None
        start, end, total = (int(number) for number in found.groups())
        return cls(start, end, total) if start <= end < total else None

    @property
    def length(self) -> int:
        """The number of bytes."""
        return self.end - self.start + 1
