"""The path of a blob trigger: a container, and which of its blobs."""

import re
from dataclasses import dataclass
from typing import Self

_PARAMETER = re.compile(r"\{[^{}/]+\}")


@dataclass(frozen=True)
class BlobPath:
    """``container/{name}``, ``container/in/{name}.txt``, or a container for all of its blobs."""

    container: str
    pattern: re.Pattern[str]

    @classmethod
    def parse(cls, path: str) -> Self:
        """Read the path of a binding whose settings have been resolved."""
        container, _, blob = path.partition("/")
        literals = (re.escape(text) for text in _PARAMETER.split(blob))
        # A parameter takes slashes too: {name} is every blob, at any depth.
        return cls(container, re.compile(".+".join(literals) if blob else ".+"))

    def covers(self, blob: str) -> bool:
        """Whether a blob of the container is meant."""
        return self.pattern.fullmatch(blob) is not None
