"""Telemetry of transfers: a trace for each, metrics of all, and their ids in the log.

A trace's id is the transfer's id without the hyphen. The trace context of the Functions host does
not reach an activity, since the worker calls it in a thread of its own. A trace id that is derived
from the transfer's id is the same on every machine and after every restart, and is found from it.

Only activities record anything, since the orchestrator is replayed. They run at least once, and a
second delivery is counted again. Uses OpenTelemetry's API only, as ``call_telemetry`` does.
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
from shared.transfer.activity_payloads import (
    ActivityResult,
    CancelUploadSession,
    FindAttachment,
    Inspect,
    Inspection,
    Job,
    UploadRanges,
)
from shared.transfer.end_payloads import RecordAttachment
from shared.transfer.payloads import Payload, TransferStatus

_LOG = logging.getLogger(__name__)

type Work = Inspect | Job | UploadRanges | FindAttachment | CancelUploadSession | RecordAttachment

_TRANSFERS = METER.create_counter(
    "blob_to_outlook.transfers", "{transfer}", "transfers that ended, by outcome and code"
)
_NEAR_DEADLINE = METER.create_counter(
    "blob_to_outlook.near_deadline", "{transfer}", "transfers that are close to their deadline"
)
_BUDGET_WAIT = METER.create_histogram(
    "blob_to_outlook.budget_wait", "s", "wait of an activity for the locks of its item and mailbox"
)

_TRANSFER_ID = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})")
_transfer_id: ContextVar[str] = ContextVar("transfer_id", default="")


def traced_activity[Given: Work, Done: Payload](
    name: str, run: Callable[[Given], Done]
) -> Callable[[Given], Done]:
    """Decorate an activity with a span in its transfer's trace, and with its metrics."""

    @wraps(run)
    def activity(work: Given) -> Done:
        token = _transfer_id.set(work.transfer_id)
        try:
            with TRACER.start_as_current_span(
                name,
                context=trace_of(work.transfer_id),
                attributes={"transfer_id": work.transfer_id},
                # The text of an unexpected exception may contain secrets.
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                _count_begin(work)
                try:
                    done = run(work)
                except Exception as error:
                    _set_error(span, type(error).__name__)
                    raise
                if isinstance(done, ActivityResult):
                    _set_result(span, done)
                _count_end(work, done)
                return done
        finally:
            _transfer_id.reset(token)

    return activity


def trace_of(transfer_id: str) -> Context | None:
    """The parent context of a transfer's spans; None for an id that this app did not create."""
    digits = _TRANSFER_ID.fullmatch(transfer_id)
    if digits is None:
        return None
    trace_id, span_id = int(digits[1] + digits[2], 16), int(digits[2], 16)
    sampled = TraceFlags(TraceFlags.SAMPLED)
    parent = SpanContext(trace_id, span_id, is_remote=True, trace_flags=sampled)
    return trace.set_span_in_context(NonRecordingSpan(parent), Context())


def add_transfer_id_to_logs() -> None:
    """Add the field ``transfer_id`` to every log record of an activity."""
    make = logging.getLogRecordFactory()

    def with_transfer_id(*parts: Any, **more: Any) -> logging.LogRecord:
        record = make(*parts, **more)
        if transfer_id := _transfer_id.get():
            record.transfer_id = transfer_id
        return record

    logging.setLogRecordFactory(with_transfer_id)


def _set_result(span: Span, result: ActivityResult) -> None:
    span.set_attribute("outcome", result.outcome)
    if result.failure:
        span.set_attribute("code", result.failure.code)
    if result.outcome == "failed":
        _set_error(span, result.failure.code if result.failure else result.outcome)


def _set_error(span: Span, kind: str) -> None:
    span.set_status(StatusCode.ERROR)
    span.set_attribute("error.type", kind)


def _count_begin(work: Work) -> None:
    job = _job_of(work)
    if job and job.near_deadline:
        _NEAR_DEADLINE.add(1)
        # For an alert: a worker that is scaled in does not send its last metrics.
        _LOG.warning("transfer %s goes on near its deadline", job.transfer_id)


def _job_of(work: Work) -> Job | None:
    job = work.job if isinstance(work, UploadRanges | FindAttachment) else work
    return job if isinstance(job, Job) else None


def _count_end(work: Work, done: Payload) -> None:
    job = _job_of(work)
    if job and isinstance(done, ActivityResult) and done.outcome != "locked":
        _BUDGET_WAIT.record(job.waited_seconds)
    match done:
        case ActivityResult(outcome="recorded") if isinstance(work, RecordAttachment):
            error = work.status.error
            _count_transfer(work.record, error.code if error else "")
        case (
            ActivityResult(outcome="superseded")
            | Inspection(ended=TransferStatus(state="superseded"))
        ):
            _count_transfer("superseded", Superseded.code)


def _count_transfer(outcome: str, code: str) -> None:
    _TRANSFERS.add(1, {"outcome": outcome, "code": code})
