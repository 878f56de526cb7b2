"""A record of every request, in order of arrival."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from multidict import CIMultiDict, CIMultiDictProxy

from infra.local.outlook.protocol.addresses import Address, Kind
from infra.local.outlook.protocol.byte_range import ByteRange
from infra.local.outlook.protocol.messages import Request


@dataclass(kw_only=True)
class RecordedRequest:
    """One request and its response; filled in while the request is processed.

    `index` counts all requests from 0, `occurrence` those of this kind from 1. `target` is the raw
    path and query, including the upload token; `path` is without the query. `mailbox` is the
    address (or the client's text, when there is no such mailbox), `item` the immutable id.
    `concurrency` is the number of requests in progress for the mailbox, this one included.
    `body_length` is the number of bytes read; `body` has them, except for a range, whose bytes are
    in the session. `status` is None before the response, and when it was not sent completely;
    `served_status` is the status of the processed request, None when it was not processed. `fault`
    is the name of the injected misbehaviour. `client` is the peer of the connection: requests with
    the same `client` used the same connection.
    """

    index: int
    occurrence: int
    at: datetime
    kind: Kind
    method: str
    path: str
    target: str
    headers: CIMultiDictProxy[str]
    mailbox: str | None
    item: str | None
    range: ByteRange | None
    concurrency: int
    client: str = ""
    fault: str | None = None
    body_length: int = 0
    body: bytes = field(default=b"", repr=False)
    status: int | None = None
    served_status: int | None = None
    answer_headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    ended_at: datetime | None = None


class Recorder:
    """Records the requests and counts them by kind."""

    def __init__(self) -> None:
        self.requests: list[RecordedRequest] = []
        self._of_kind: Counter[Kind] = Counter()

    def arrived(
        self, at: datetime, head: Request, address: Address, concurrency: int
    ) -> RecordedRequest:
        """Record a request when its headers have arrived."""
        self._of_kind[address.kind] += 1
        record = RecordedRequest(
            index=len(self.requests),
            occurrence=self._of_kind[address.kind],
            at=at,
            kind=address.kind,
            method=head.method,
            path=head.target.partition("?")[0],
            target=head.target,
            headers=head.headers,
            mailbox=address.mailbox,
            item=address.item,
            range=ByteRange.parse(head.headers.get("Content-Range")),
            concurrency=concurrency,
            client=head.client,
        )
        self.requests.append(record)
        return record

    def clear(self) -> None:
        """Discard the records; the counts start again."""
        self.requests.clear()
        self._of_kind.clear()
