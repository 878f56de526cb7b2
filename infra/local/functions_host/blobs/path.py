"""The path of a blob trigger: a container and a pattern for its blobs."""

import re
from dataclasses import dataclass
from typing import Self

_PARAMETER = re.compile(r"\{[^{}/]+\}")


@dataclass(frozen=True)
class BlobPath:
    """``container/{name}``, ``container/in/{name}.txt``, or ``container`` for all its blobs."""

    container: str
    pattern: re.Pattern[str]

    @classmethod
    def parse(cls, path: str) -> Self:
        """Parse a binding's path, its settings resolved."""
        container, _, blob = path.partition("/")
        literals = (re.escape(text) for text in _PARAMETER.split(blob))
        # A parameter matches slashes too: {name} is every blob, at any depth.
        return cls(container, re.compile(".+".join(literals) if blob else ".+"))

    def matches(self, blob: str) -> bool:
        """Whether the trigger fires for this blob of the container."""
        return self.pattern.fullmatch(blob) is not None
