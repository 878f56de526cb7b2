"""The service without its sockets: a request arrives, is answered, and has gone.

Synchronous and under one lock, so that requests are processed one after the other however they
overlap on the wire.
"""

import threading
import uuid
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
from infra.local.outlook.protocol.addresses import Address, locate
from infra.local.outlook.protocol.errors import GraphError, throttled
from infra.local.outlook.protocol.messages import Answer, Call
from infra.local.outlook.recorder import RecordedRequest, Recorder
from infra.local.outlook.state.throttle import Throttle
from infra.local.outlook.tenant import Tenant

# Seconds; a slot is free as soon as another request ends, so the shortest whole figure.
_CONCURRENCY_RETRY_AFTER = 1
_AS_IT_SHOULD = Misbehaviour(name="none")


@dataclass(frozen=True)
class Visit:
    """A request in progress: `mailbox` is the one that bears its load, None when there is none."""

    head: Call
    record: RecordedRequest
    address: Address
    mailbox: str | None
    fault: Fault | None
    source: FaultSource
    throttle: Throttle

    @property
    def misbehaviour(self) -> Misbehaviour:
        """What is to go wrong with it."""
        return self.fault.misbehaviour if self.fault else _AS_IT_SHOULD


class Service:
    """The tenant, its recorder and its faults behind one lock.

    `random_faults` is asked when the schedule has nothing for a request.
    """

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.recorder = Recorder()
        self.faults = FaultSchedule()
        self.random_faults: FaultSource | None = None
        self.lock = threading.RLock()

    def arrive(self, head: Call) -> Visit:
        """Take a request without its body: where it goes, beside how many, whether it fails."""
        with self.lock:
            address = locate(head.method, head.target, head.headers.get("Content-Range"))
            known = self.tenant.mailboxes.get(address.mailbox)
            throttle = self.tenant.throttle
            mailbox = known.address if known else None
            record = self.recorder.arrived(
                self.tenant.clock(),
                head,
                replace(address, mailbox=mailbox or address.mailbox),
                throttle.enter(mailbox) if mailbox else 1,
            )
            fault, source = self._choose(record)
            record.fault = fault.misbehaviour.name if fault else None
            return Visit(head, record, address, mailbox, fault, source, throttle)

    def answer(self, visit: Visit, body: bytes) -> Answer:
        """Process the request, or refuse it; the answer as the client is to see it."""
        with self.lock:
            record, misbehaviour = visit.record, visit.misbehaviour
            record.body_length = len(body)
            if record.range is None:
                record.body = body
            # Whatever becomes of the request, its bytes have come in and count.
            refused = self._refused_by_throttle(visit, len(body))
            true = misbehaviour.refusal or refused
            if true is None and misbehaviour.processes:
                true = self._process(visit, body)
                record.served_status = true.status
            # A request that is left unread has no answer of its own to send a part of.
            stamped = self._stamp(visit, true or GraphError(503, "ServiceUnavailable", "").answer())
            altered = misbehaviour.alteration(stamped) if misbehaviour.alteration else stamped
            self._confirm(visit, changed=altered != stamped)
            record.answer_headers = altered.headers
            record.status = None if misbehaviour.breakage else altered.status
            return altered

    def leave(self, visit: Visit) -> None:
        """Count the request out of what its mailbox has in progress."""
        with self.lock:
            visit.record.ended_at = self.tenant.clock()
            if visit.mailbox:
                visit.throttle.leave(visit.mailbox)

    def _choose(self, record: RecordedRequest) -> tuple[Fault | None, FaultSource]:
        arrival = Arrival(record.index, record.kind, record.occurrence)
        scheduled = self.faults.choose(arrival)
        if scheduled is None and self.random_faults is not None:
            return self.random_faults.choose(arrival), self.random_faults
        return scheduled, self.faults

    def _refused_by_throttle(self, visit: Visit, size: int) -> Answer | None:
        if visit.mailbox is None:
            return None
        wait = self.tenant.throttle.charge(visit.mailbox, size)
        if self.tenant.throttle.over_concurrency(visit.record.concurrency):
            return throttled("MailboxConcurrency", _CONCURRENCY_RETRY_AFTER).answer()
        return None if wait is None else throttled("IncomingBytes", wait).answer()

    def _process(self, visit: Visit, body: bytes) -> Answer:
        call, address = replace(visit.head, body=body), visit.address
        delay = visit.misbehaviour.commit_delay
        try:
            match address.shape:
                case "token":
                    return self.tenant.identity.answer(call)
                case "session":
                    share = visit.misbehaviour.kept_share
                    return upload_session.answer(
                        self.tenant, call, address, kept_share=share, commit_delay=delay
                    )
                case _:
                    return graph.answer(self.tenant, call, address, delay)
        except GraphError as error:
            return error.answer()

    def _stamp(self, visit: Visit, answer: Answer) -> Answer:
        """The answer with what every answer carries."""
        headers = CIMultiDict(answer.headers)
        headers["Date"] = format_datetime(self.tenant.clock(), usegmt=True)
        headers["request-id"] = str(uuid.uuid4())
        if "client-request-id" in visit.head.headers:
            headers["client-request-id"] = visit.head.headers["client-request-id"]
        return replace(answer, headers=headers)

    def _confirm(self, visit: Visit, *, changed: bool) -> None:
        """Tell the fault's source that it fired, unless it made no difference."""
        misbehaviour = visit.misbehaviour
        accepted = visit.record.served_status in {200, 201}
        kept_otherwise = misbehaviour.kept_share < 1 or misbehaviour.commit_delay > 0
        refused_or_broken = misbehaviour.refusal or misbehaviour.breakage
        if visit.fault and (changed or refused_or_broken or (kept_otherwise and accepted)):
            visit.source.confirm(visit.fault)
