"""What can be seen of transfers: a trace for each, figures of all, and their ids in the log.

The id of a transfer's trace is the transfer's own, without its hyphen. The trace context of the
Functions host does not reach an activity: the worker calls it in a thread of its own. An id that
every activity derives by itself needs nobody to hand it on, is the same on every machine and after
every restart, and whoever knows the transfer finds its trace.

Only activities tell anything: the orchestrator is replayed. They run at least once, so that what
is delivered again is counted again. By OpenTelemetry's API alone, as in ``call_telemetry``.
"""

import logging
import re
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, StatusCode, TraceFlags

from shared.errors import Superseded
from shared.outlook.call_telemetry import METER, TRACER
from shared.transfer.payloads import Payload, TransferStatus
from shared.transfer.work import (
    CancelUploadSession,
    FindAttachment,
    Inspect,
    Inspection,
    Job,
    RecordAttachment,
    Step,
    UploadRanges,
)

_LOG = logging.getLogger(__name__)

type Work = Inspect | Job | UploadRanges | FindAttachment | CancelUploadSession | RecordAttachment

_TRANSFERS = METER.create_counter(
    "blob_to_outlook.transfers", "{transfer}", "transfers that ended, by outcome and code"
)
_NEAR_DEADLINE = METER.create_counter(
    "blob_to_outlook.near_deadline", "{transfer}", "transfers that work on late in their time"
)
_BUDGET_WAIT = METER.create_histogram(
    "blob_to_outlook.budget_wait", "s", "wait of an activity for its item's and mailbox's turn"
)

_TRANSFER_ID = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})")
_transfer_id: ContextVar[str] = ContextVar("transfer_id", default="")


def observed[Given: Work, Done: Payload](
    name: str, run: Callable[[Given], Done]
) -> Callable[[Given], Done]:
    """Have an activity seen: its span in its transfer's trace, its part in the figures."""

    @wraps(run)
    def activity(work: Given) -> Done:
        named = _transfer_id.set(work.transfer_id)
        try:
            with TRACER.start_as_current_span(
                name,
                context=trace_of(work.transfer_id),
                attributes={"transfer_id": work.transfer_id},
                # The text of an exception that nobody expected may hold anything.
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                _count_begin(work)
                try:
                    done = run(work)
                except Exception as error:
                    _tell_error(span, type(error).__name__)
                    raise
                if isinstance(done, Step):
                    _tell_step(span, done)
                _count_end(work, done)
                return done
        finally:
            _transfer_id.reset(named)

    return activity


def trace_of(transfer_id: str) -> Context | None:
    """The context in which a transfer's spans begin; None for an id that no door gave."""
    digits = _TRANSFER_ID.fullmatch(transfer_id)
    if digits is None:
        return None
    trace_id, span_id = int(digits[1] + digits[2], 16), int(digits[2], 16)
    sampled = TraceFlags(TraceFlags.SAMPLED)
    parent = SpanContext(trace_id, span_id, is_remote=True, trace_flags=sampled)
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())


def name_transfers_in_the_log() -> None:
    """Give every log record made within an activity the field ``transfer_id``."""
    make = logging.getLogRecordFactory()

    def with_transfer_id(*parts: Any, **more: Any) -> logging.LogRecord:
        record = make(*parts, **more)
        if transfer_id := _transfer_id.get():
            record.transfer_id = transfer_id
        return record

    logging.setLogRecordFactory(with_transfer_id)


def _tell_step(span: Span, step: Step) -> None:
    span.set_attribute("outcome", step.outcome)
    if step.failure:
        span.set_attribute("code", step.failure.code)
    if step.outcome == "failed":
        _tell_error(span, step.failure.code if step.failure else step.outcome)


def _tell_error(span: Span, kind: str) -> None:
    span.set_status(StatusCode.ERROR)
    span.set_attribute("error.type", kind)


def _count_begin(work: Work) -> None:
    job = work.job if isinstance(work, UploadRanges | FindAttachment) else work
    if isinstance(job, Job):
        _BUDGET_WAIT.record(job.waited_seconds)
        if job.near_deadline:
            _NEAR_DEADLINE.add(1)
            # An alert rests on it: a worker that is scaled in does not send its last figures.
            _LOG.warning("transfer %s goes on near its deadline", job.transfer_id)


def _count_end(work: Work, done: Payload) -> None:
    match done:
        case Step(outcome="recorded") if isinstance(work, RecordAttachment):
            error = work.status.error
            _count_transfer(work.record, error.code if error else "")
        case Step(outcome="superseded") | Inspection(ended=TransferStatus(state="superseded")):
            _count_transfer("superseded", Superseded.__name__)


def _count_transfer(outcome: str, code: str) -> None:
    _TRANSFERS.add(1, {"outcome": outcome, "code": code})
