"""The service without its sockets: a request arrives, gets its response, and ends.

Synchronous and under one lock: requests are processed one after the other, even when they overlap
on the network.
"""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import format_datetime

from multidict import CIMultiDict

from infra.local.outlook.faults.schedule import (
    Arrival,
    Fault,
    FaultSchedule,
    FaultSource,
    Misbehaviour,
)
from infra.local.outlook.handlers import graph, upload_session
from infra.local.outlook.protocol.addresses import Address, parse_address
from infra.local.outlook.protocol.errors import GraphError, throttling_error
from infra.local.outlook.protocol.messages import Request, Response
from infra.local.outlook.recorder import RecordedRequest, Recorder
from infra.local.outlook.state.throttle import Throttle
from infra.local.outlook.tenant import Tenant

# In seconds: the shortest, since any request in progress can end at once.
_CONCURRENCY_RETRY_AFTER = 1
_NO_FAULT = Misbehaviour(name="none")


@dataclass(frozen=True)
class Exchange:
    """A request and its response; `mailbox` is the one whose limits it counts towards, if any."""

    request: Request
    record: RecordedRequest
    address: Address
    mailbox: str | None
    fault: Fault | None
    source: FaultSource
    throttle: Throttle

    @property
    def misbehaviour(self) -> Misbehaviour:
        """The injected misbehaviour; one that changes nothing when there is no fault."""
        return self.fault.misbehaviour if self.fault else _NO_FAULT


class Service:
    """The tenant, its recorder and its faults, under one lock.

    `random_faults` chooses when the schedule has no fault for a request.
    """

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.recorder = Recorder()
        self.faults = FaultSchedule()
        self.random_faults: FaultSource | None = None
        # Called, under the lock, after what may have changed mailboxes.
        self.changed: Callable[[], None] = lambda: None
        self.lock = threading.RLock()

    def arrive(self, request: Request) -> Exchange:
        """Record a request when its headers have arrived, and choose its fault."""
        with self.lock:
            address = parse_address(
                request.method, request.target, request.headers.get("Content-Range")
            )
            known = self.tenant.mailboxes.get(address.mailbox)
            throttle = self.tenant.throttle
            mailbox = known.address if known else None
            record = self.recorder.arrived(
                self.tenant.clock(),
                request,
                replace(address, mailbox=mailbox or address.mailbox),
                throttle.begin(mailbox) if mailbox else 1,
            )
            fault, source = self._choose(record)
            record.fault = fault.misbehaviour.name if fault else None
            return Exchange(request, record, address, mailbox, fault, source, throttle)

    def answer(self, exchange: Exchange, body: bytes) -> Response:
        """Process the request, or refuse it; the response that the client is to get."""
        with self.lock:
            record, misbehaviour = exchange.record, exchange.misbehaviour
            record.body_length = len(body)
            if record.range is None:
                record.body = body
            # The bytes have been received, so they count even if the request fails.
            throttled = self._throttled(exchange, len(body))
            response = misbehaviour.refusal or throttled
            if response is None and misbehaviour.processes:
                response = self._process(exchange, body)
                record.served_status = response.status
                if exchange.request.method != "GET":
                    self.changed()
            if response is None:
                # Not processed: the connection breaks, perhaps in the middle of this response.
                response = GraphError(503, "ServiceUnavailable", "").answer()
            unaltered = self._with_common_headers(exchange, response)
            alter = misbehaviour.alteration
            altered = alter(unaltered) if alter else unaltered
            self._confirm(exchange, changed=altered != unaltered)
            record.answer_headers = altered.headers
            record.status = None if misbehaviour.breakage else altered.status
            return altered

    def leave(self, exchange: Exchange) -> None:
        """End the request: it is no longer in progress for its mailbox."""
        with self.lock:
            exchange.record.ended_at = self.tenant.clock()
            if exchange.mailbox:
                exchange.throttle.end(exchange.mailbox)

    def _choose(self, record: RecordedRequest) -> tuple[Fault | None, FaultSource]:
        arrival = Arrival(record.index, record.kind, record.occurrence)
        scheduled = self.faults.choose(arrival)
        if scheduled is None and self.random_faults is not None:
            return self.random_faults.choose(arrival), self.random_faults
        return scheduled, self.faults

    def _throttled(self, exchange: Exchange, size: int) -> Response | None:
        if exchange.mailbox is None:
            return None
        retry_after = self.tenant.throttle.charge(exchange.mailbox, size)
        if self.tenant.throttle.over_concurrency(exchange.record.concurrency):
            return throttling_error("MailboxConcurrency", _CONCURRENCY_RETRY_AFTER).answer()
        return (
            None if retry_after is None else throttling_error("IncomingBytes", retry_after).answer()
        )

    def _process(self, exchange: Exchange, body: bytes) -> Response:
        request, address = replace(exchange.request, body=body), exchange.address
        delay = exchange.misbehaviour.commit_delay
        try:
            match address.resource:
                case "token":
                    return self.tenant.identity.answer(request)
                case "session":
                    share = exchange.misbehaviour.kept_share
                    return upload_session.handle(
                        self.tenant, request, address, kept_share=share, commit_delay=delay
                    )
                case _:
                    return graph.handle(self.tenant, request, address, delay)
        except GraphError as error:
            return error.answer()

    def _with_common_headers(self, exchange: Exchange, response: Response) -> Response:
        """The response with the headers that every response has."""
        headers = CIMultiDict(response.headers)
        headers["Date"] = format_datetime(self.tenant.clock(), usegmt=True)
        headers["request-id"] = str(uuid.uuid4())
        if "client-request-id" in exchange.request.headers:
            headers["client-request-id"] = exchange.request.headers["client-request-id"]
        return replace(response, headers=headers)

    def _confirm(self, exchange: Exchange, *, changed: bool) -> None:
        """Confirm the fault to its source, unless it made no difference."""
        misbehaviour = exchange.misbehaviour
        accepted = exchange.record.served_status in {200, 201}
        stored_otherwise = misbehaviour.kept_share < 1 or misbehaviour.commit_delay > 0
        refused_or_broken = misbehaviour.refusal or misbehaviour.breakage
        if exchange.fault and (changed or refused_or_broken or (stored_otherwise and accepted)):
            exchange.source.confirm(exchange.fault)
