"""The orchestrator ``attach_blob``: one transfer, from a request to its record.

Deterministic: every decision rests on what activities returned and on Durable's own clock. What
follows which outcome is decided in ``attaching``; every wait is a durable timer; every path ends
in a status that says how it ended.
"""

import hashlib
from collections.abc import Generator
from datetime import timedelta
from typing import Any

from durabletask.task import (
    CompletableTask,
    OrchestrationContext,
    Task,
    TaskFailedError,
    TimerTask,
    when_any,
)

from shared.errors import InternalError
from shared.transfer.attaching import Attaching
from shared.transfer.payloads import (
    CancelUploadSession,
    Failure,
    Inspect,
    Inspection,
    Job,
    Payload,
    RecordAttachment,
    RecordedStatus,
    Step,
    TransferRequest,
    TransferStatus,
)
from shared.transfer.stages import Pause

# The external event that cancels a transfer.
CANCEL = "cancel"
LONGEST_BACKOFF = 60.0
# How long storage may be out of reach before the first look and for the record: an outage ends,
# and a blob that somebody has leased can be written when the lease ends.
STORAGE_PATIENCE = timedelta(hours=4)
FORGETTING_AT_MOST = 4
# A longer rest than this, in seconds, is not waited out to delete a session: it expires by itself.
_RESTING_AT_MOST = 600.0
# Seconds from which on a pause is told to whoever watches.
_LONG_WAIT = 5.0

_RECORDS: dict[str, RecordedStatus] = {
    "attached": "attached",
    "failed": "failed",
    "cancelled": "cancelled",
}

type Steps[T] = Generator[Any, Any, T]


def attach_blob(ctx: OrchestrationContext, payload: dict[str, Any]) -> Steps[dict[str, object]]:
    """Transfer one blob to one item; the output is the transfer's last status."""
    transfer = _Transfer(ctx, TransferRequest.from_json(payload))
    try:
        yield from transfer.run()
    except TaskFailedError:
        # A bug of ours: clean up and say so, then let the engine show the instance as failed.
        yield from transfer.end_after_a_bug()
        raise
    transfer.show()
    return transfer.status.to_json()


class _Transfer:
    """One run: ``status`` is what its watchers see, and its output at the end."""

    def __init__(self, ctx: OrchestrationContext, request: TransferRequest) -> None:
        self.ctx = ctx
        self.request = request
        self.status = TransferStatus(blob=request.blob)
        self.cancelled: Task[Any] = ctx.wait_for_external_event(CANCEL)
        # Until when the far side has asked for a rest.
        self.rest_until = ctx.current_utc_datetime
        self.show()

    def show(self, **fields: object) -> None:
        """Tell the watchers the status, with these fields for now."""
        self.ctx.set_custom_status(self.status.model_copy(update=fields).to_json())

    def run(self) -> Steps[None]:
        inspection = yield from self._inspect()
        record = inspection.record
        if inspection.job:
            self.status = self.status.with_job(inspection.job)
            yield from self._attach(inspection.job)
            record = _RECORDS.get(self.status.state)
        elif inspection.ended:
            self.status = inspection.ended
        if record:
            yield from self._record(record)

    def end_after_a_bug(self) -> Steps[None]:
        """What is attached stays so; whatever else fails does not hide the first error."""
        if self.status.state != "attached":
            bug = Failure.of(InternalError(self.ctx.instance_id))
            self.status = self.status.model_copy(update={"state": "failed", "error": bug})
        for cleanup in (self._forget, lambda: self._record(_RECORDS[self.status.state])):
            try:
                yield from cleanup()
            except TaskFailedError:
                continue

    def _inspect(self) -> Steps[Inspection]:
        work = Inspect(transfer_id=self.ctx.instance_id, request=self.request)
        until = self.ctx.current_utc_datetime + STORAGE_PATIENCE
        tries = 0
        while True:
            found = Inspection.from_json((yield self._activity("inspect_blob", work)))
            if not found.unavailable:
                return found
            ended = self.status.model_copy(update={"state": "failed", "error": found.unavailable})
            if self.cancelled.is_complete:
                ended = ended.model_copy(update={"state": "cancelled", "error": None})
            left = (until - self.ctx.current_utc_datetime).total_seconds()
            if self.cancelled.is_complete or left <= 0:
                return Inspection(ended=ended, record=_RECORDS[ended.state])
            yield from self._rest(Pause(tries, at_most=left))
            tries += 1

    def _attach(self, job: Job) -> Steps[None]:
        attaching = Attaching(job, self.ctx.current_utc_datetime)
        while True:
            if self.cancelled.is_complete:
                attaching.cancel()
            if attaching.end is not None:
                break
            if self._rest_left > 0:
                # Cut short by the cancellation, but the far side is asked something all the same.
                yield self._timer(Pause(0, self._rest_left, at_most=0.0))
            self.show(state="uploading", bytes_sent=attaching.offset)
            activity = self._activity(attaching.stage.value, attaching.work())
            step = self._heard((yield activity))
            attaching.took(step, self.ctx.current_utc_datetime)
            if self.cancelled.is_complete:
                attaching.cancel()
            if attaching.pause is not None:
                if attaching.pause.at_least >= _LONG_WAIT:
                    self.show(state="waiting", bytes_sent=attaching.offset)
                yield from self._rest(attaching.pause)
        self.status = self.status.model_copy(update=attaching.end.status())
        if attaching.end.state != "attached":
            yield from self._forget()

    def _record(self, record: RecordedStatus) -> Steps[None]:
        self.show(state="recording")
        work = RecordAttachment(transfer_id=self.ctx.instance_id, status=self.status, record=record)
        until = self.ctx.current_utc_datetime + STORAGE_PATIENCE
        tries = 0
        while True:
            step = Step.from_json((yield self._activity("record_attachment", work)))
            left = (until - self.ctx.current_utc_datetime).total_seconds()
            if step.outcome != "retry" or left <= 0:
                return
            yield self._timer(Pause(tries, at_most=left))
            tries += 1

    def _forget(self) -> Steps[None]:
        """Delete the session and its notes. What Outlook does not delete expires by itself."""
        patient = True
        for tries in range(FORGETTING_AT_MOST):
            work = CancelUploadSession(
                transfer_id=self.ctx.instance_id,
                forget=True,
                resting=self._rest_left > 0,
                whatever=not patient or tries == FORGETTING_AT_MOST - 1,
            )
            step = self._heard((yield self._activity("cancel_upload_session", work)))
            if step.outcome != "retry":
                return
            patient = self._rest_left <= _RESTING_AT_MOST
            if patient:
                yield self._timer(Pause(tries, self._rest_left))

    @property
    def _rest_left(self) -> float:
        return max(0.0, (self.rest_until - self.ctx.current_utc_datetime).total_seconds())

    def _heard(self, result: dict[str, Any]) -> Step:
        """The step that an activity returned; what it was told to wait is kept."""
        step = Step.from_json(result)
        if step.wait_seconds:
            rest = self.ctx.current_utc_datetime + timedelta(seconds=step.wait_seconds)
            self.rest_until = max(self.rest_until, rest)
        return step

    def _rest(self, pause: Pause) -> Steps[None]:
        """Wait; a cancellation cuts it short, unless the truth about one is waited for."""
        timer = self._timer(pause)
        if self.cancelled.is_complete:
            yield timer
            return
        yield when_any([timer, self.cancelled])
        timer.cancel()

    def _activity(self, name: str, work: Payload) -> CompletableTask[Any]:
        return self.ctx.call_activity(name, input=work.to_json(), return_type=dict)

    def _timer(self, pause: Pause) -> TimerTask:
        """Twice as long each time, with jitter, within the pause's own bounds."""
        # Jitter must be the same at every replay, and differ between transfers.
        digest = hashlib.sha256(f"{self.ctx.instance_id}/{pause.tries}".encode()).digest()
        backoff = min(LONGEST_BACKOFF, 2.0 ** min(pause.tries, 6)) * (0.75 + digest[0] / 512)
        seconds = max(min(backoff, pause.at_most), pause.at_least)
        return self.ctx.create_timer(timedelta(seconds=seconds))
