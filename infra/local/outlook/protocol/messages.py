"""A request and an answer as values, free of any HTTP library."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from multidict import CIMultiDict, CIMultiDictProxy


@dataclass(frozen=True)
class Call:
    """A request as it came.

    `target` is the raw path and query of the request line, `client` the connection's other end.
    """

    method: str
    target: str
    headers: CIMultiDictProxy[str]
    body: bytes = b""
    client: str = ""

    @cached_property
    def query(self) -> dict[str, str]:
        """The query's parameters, decoded; the last one of a name counts."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def media_type(self) -> str:
        """The Content-Type without its parameters, in lower case; empty when absent."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True)
class Answer:
    """A whole answer; `Content-Length` is the sender's business."""

    status: int
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: bytes = b""

    def json(self) -> Any:
        """The body as JSON. Raises `ValueError` when it is not."""
        return json.loads(self.body)


def json_answer(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer whose body is `value` as JSON."""
    fields = CIMultiDict({"Content-Type": "application/json; charset=utf-8"})
    fields.update(headers or {})
    return Answer(status, fields, json.dumps(value, ensure_ascii=False).encode())
