"""Every request in order of arrival, as the referee keeps it."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from multidict import CIMultiDict, CIMultiDictProxy

from infra.local.outlook.protocol.addresses import Address, Kind
from infra.local.outlook.protocol.byte_range import ByteRange
from infra.local.outlook.protocol.messages import Call


@dataclass(kw_only=True)
class RecordedRequest:
    """One request and how it was answered; filled in as the request goes on.

    `index` counts every request from 0, `occurrence` those of this kind from 1. `target` is the raw
    path and query, upload token and all; `path` is without the query. `mailbox` is the address (or
    what the client wrote, when it names no mailbox), `item` the immutable id. `concurrency` is how
    many requests were in progress for the mailbox, this one included. `body_length` counts the
    bytes read; `body` keeps them, except a range's, which the session keeps. `status` is None
    while unanswered and when no answer was sent whole; then `served_status` still says what the
    service made of it, None when nothing. `fault` names the misbehaviour that was asked for.
    `client` is the other end of its connection: requests of one client came over one connection.
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
    """Keeps the requests and counts them by kind."""

    def __init__(self) -> None:
        self.requests: list[RecordedRequest] = []
        self._of_kind: Counter[Kind] = Counter()

    def arrived(
        self, at: datetime, head: Call, address: Address, concurrency: int
    ) -> RecordedRequest:
        """Keep a request that has come, before its body."""
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
        """Forget every request; counting begins anew."""
        self.requests.clear()
        self._of_kind.clear()
