"""HTTP requests and responses as values, independent of any HTTP library."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from multidict import CIMultiDict, CIMultiDictProxy


@dataclass(frozen=True)
class Request:
    """A request as received.

    `target` is the raw path and query of the request line, `client` the peer of the connection.
    """

    method: str
    target: str
    headers: CIMultiDictProxy[str]
    body: bytes = b""
    client: str = ""

    @cached_property
    def query(self) -> dict[str, str]:
        """The decoded parameters of the query; of a repeated name the last one."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def media_type(self) -> str:
        """The Content-Type without its parameters, in lower case; empty when absent."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True)
class Response:
    """A complete response; the server adds `Content-Length`."""

    status: int
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: bytes = b""

    def json(self) -> Any:
        """The parsed body. Raises `ValueError` when it is not JSON."""
        return json.loads(self.body)


def json_response(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """A response whose body is `value` as JSON."""
    fields = CIMultiDict({"Content-Type": "application/json; charset=utf-8"})
    fields.update(headers or {})
    return Response(status, fields, json.dumps(value, ensure_ascii=False).encode())
