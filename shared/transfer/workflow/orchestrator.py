"""The orchestrator ``attach_blob``: one transfer, from a request to its record.

Deterministic: every decision rests on what activities and entities returned and on Durable's own
clock. What follows which outcome is decided in ``attaching``; every wait is a durable timer; every
path ends in a status that says how it ended.
"""

from datetime import timedelta
from typing import Any

from durabletask.task import CompletableTask, OrchestrationContext, Task, TaskFailedError

from shared.errors import InternalError
from shared.transfer.activity_payloads import (
    CancelUploadSession,
    Inspect,
    Inspection,
    Job,
    RecordAttachment,
    Step,
)
from shared.transfer.payloads import (
    Failure,
    Payload,
    RecordedStatus,
    TransferRequest,
)
from shared.transfer.workflow.backoff import Waits, exactly
from shared.transfer.workflow.locks import Steps, Turns
from shared.transfer.workflow.stages import Pause, Stage
from shared.transfer.workflow.state_machine import Attaching

# The external event that cancels a transfer.
CANCEL = "cancel"
# How long storage may be out of reach before the first look and for the record: an outage ends,
# and a blob that somebody has leased can be written when the lease ends.
STORAGE_PATIENCE = timedelta(hours=4)
# How long a transfer waits for the end of the one before it, of which nothing may be heard.
FOLLOWING_PATIENCE = timedelta(hours=24)
# How often deleting a session is tried, and how long, in seconds, its turn is waited for: what is
# not deleted expires by itself.
FORGETTING_AT_MOST = 4
_FORGETTING_SECONDS = 600.0
# Seconds from which on a pause is told to whoever watches.
_LONG_WAIT = 5.0

_RECORDS: dict[str, RecordedStatus] = {
    "attached": "attached",
    "failed": "failed",
    "cancelled": "cancelled",
}


def go_after(transfer_id: str) -> str:
    """The external event that begins a transfer which follows this one."""
    return f"go after {transfer_id}"


def attach_blob(ctx: OrchestrationContext, payload: dict[str, Any]) -> Steps[dict[str, object]]:
    """Transfer one blob to one item; the output is the transfer's last status."""
    transfer = _Transfer(ctx, TransferRequest.from_json(payload))
    try:
        yield from transfer.run()
    except Exception:
        # A bug of ours: clean up and say so, then let the engine show the instance as failed.
        yield from transfer.end_after_a_bug()
        yield from transfer.let_the_next_begin()
        yield from transfer.announce()
        raise
    yield from transfer.let_the_next_begin()
    yield from transfer.announce()
    transfer.show()
    return transfer.status.to_json()


class _Transfer:
    """One run: ``status`` is what its watchers see, and its output at the end."""

    def __init__(self, ctx: OrchestrationContext, request: TransferRequest) -> None:
        self.ctx = ctx
        self.request = request
        self.status = request.status
        self.go: Task[Any] | None = None
        if request.follows:
            self.go = ctx.wait_for_external_event(go_after(request.follows))
        self.recorded: RecordedStatus | None = None
        self.cancelled: Task[Any] = ctx.wait_for_external_event(CANCEL)
        self.waits = Waits(ctx, self.cancelled)
        self.turns = Turns(ctx, request.item) if request.item else None
        self.show()

    def show(self, **fields: object) -> None:
        """Tell the watchers the status, with these fields for now."""
        self.ctx.set_custom_status(self.status.model_copy(update=fields).to_json())

    def run(self) -> Steps[None]:
        if self.go:
            yield from self.waits.until_told(self.go, FOLLOWING_PATIENCE)
        inspection = yield from self._inspect()
        record = inspection.record
        if inspection.job and self.turns:
            self.status = self.status.model_copy(update={"size": inspection.job.size})
            yield from self._attach(inspection.job, self.turns)
            record = _RECORDS.get(self.status.state)
        elif inspection.ended:
            self.status = inspection.ended
        if record:
            self.recorded = record
            yield from self._record(record)

    def let_the_next_begin(self) -> Steps[None]:
        """However this transfer ended, those that follow go on: after those before it, too."""
        if self.request.next and self.go:
            self.show()
            yield from self.waits.until_told(self.go, FOLLOWING_PATIENCE, whatever=True)
        for transfer_id in self.request.next:
            self.ctx.send_event(transfer_id, go_after(self.ctx.instance_id))

    def announce(self) -> Steps[None]:
        """Tell the end by an event, if the app does, and if it is one that was recorded."""
        if self.request.announced and self.recorded:
            try:
                yield self._activity("announce_end", self._ended(self.recorded))
            except TaskFailedError:
                # The engine has it in its log; the file is where it is.
                return

    def end_after_a_bug(self) -> Steps[None]:
        """What is attached stays so; whatever else fails does not hide the first error."""
        if self.status.state == "queued":
            # How it ended before that is worth more, if it had.
            bug = Failure.of(InternalError(self.ctx.instance_id))
            self.status = self.status.model_copy(update={"state": "failed", "error": bug})
        self.recorded = self.recorded or _RECORDS.get(self.status.state)
        for cleanup in (self._give_back, self._forget_at_once, self._record_again):
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
            yield from self.waits.pause(Pause(tries, at_most=left))
            tries += 1

    def _attach(self, job: Job, turns: Turns) -> Steps[None]:
        attaching = Attaching(job, self.ctx.current_utc_datetime)
        while True:
            if self.cancelled.is_complete:
                attaching.cancel(self.ctx.current_utc_datetime)
            if attaching.end is not None:
                break
            # A rest that a cancellation cut short is kept before anything else is asked.
            if rest := self.waits.rest_left:
                yield self.waits.timer(exactly(rest))
            elif wait := (yield from turns.ask(attaching.sends)):
                self.show(state="waiting", bytes_sent=attaching.offset)
                patience = attaching.patience(self.ctx.current_utc_datetime)
                yield from self.waits.for_turn(min(wait, patience))
                attaching.waited(self.ctx.current_utc_datetime)
            else:
                yield from self._advance(attaching, turns)
        self.status = self.status.model_copy(update=attaching.end.status())
        yield from turns.give_back()
        if attaching.end.state != "attached":
            yield from self._forget(turns)

    def _advance(self, attaching: Attaching, turns: Turns) -> Steps[None]:
        """Have the stage's activity done, and pause if need be."""
        attaching.begin(self.ctx.current_utc_datetime, turns.waited)
        self.show(state="uploading", bytes_sent=attaching.offset)
        stage, most = attaching.stage, attaching.sends
        step = Step.from_json((yield self._activity(stage.value, attaching.work())))
        sent = step.sent if stage is Stage.UPLOAD else most
        turns.used(sent, step.wait_seconds or 0.0)
        self.waits.heard(step)
        attaching.took(step, self.ctx.current_utc_datetime)
        if self.cancelled.is_complete:
            attaching.cancel(self.ctx.current_utc_datetime)
        if attaching.pause is not None:
            yield from turns.give_back()
            if attaching.pause.at_least >= _LONG_WAIT:
                self.show(state="waiting", bytes_sent=attaching.offset)
            yield from self.waits.pause(attaching.pause)

    def _record_again(self) -> Steps[None]:
        if self.recorded:
            yield from self._record(self.recorded)

    def _record(self, record: RecordedStatus) -> Steps[None]:
        self.show(state="recording")
        work = self._ended(record)
        until = self.ctx.current_utc_datetime + STORAGE_PATIENCE
        tries = 0
        while True:
            step = Step.from_json((yield self._activity("record_attachment", work)))
            left = (until - self.ctx.current_utc_datetime).total_seconds()
            if step.outcome != "retry" or left <= 0:
                return
            yield self.waits.timer(Pause(tries, at_most=left))
            tries += 1

    def _ended(self, record: RecordedStatus) -> RecordAttachment:
        id_ = self.ctx.instance_id
        return RecordAttachment(
            transfer_id=id_, content=self.request.content, status=self.status, record=record
        )

    def _forget(self, turns: Turns) -> Steps[None]:
        """Delete the session and its notes, when it is this transfer's turn."""
        until = self.ctx.current_utc_datetime + timedelta(seconds=_FORGETTING_SECONDS)
        tries = 0
        while True:
            rest = self.waits.rest_left
            wait = rest or (yield from turns.ask(0))
            left = (until - self.ctx.current_utc_datetime).total_seconds()
            last = tries == FORGETTING_AT_MOST - 1 or wait > left
            step = yield from self._forget_now(resting=wait > 0, last=last)
            over = last or step.outcome != "retry"
            turns.used(0, step.wait_seconds or 0.0)
            if over or not wait:
                yield from turns.give_back()
            if over:
                return
            self.waits.heard(step)
            if not wait:
                tries += 1
                yield self.waits.timer(Pause(tries, self.waits.rest_left))
            elif rest:
                yield self.waits.timer(exactly(rest))
            else:
                yield from self.waits.for_turn(wait)

    def _forget_at_once(self) -> Steps[None]:
        if self.status.state != "attached":
            yield from self._forget_now(resting=self.waits.rest_left > 0, last=True)

    def _forget_now(self, *, resting: bool, last: bool) -> Steps[Step]:
        work = CancelUploadSession(
            transfer_id=self.ctx.instance_id, forget=True, resting=resting, whatever=last
        )
        return Step.from_json((yield self._activity("cancel_upload_session", work)))

    def _give_back(self) -> Steps[None]:
        if self.turns:
            yield from self.turns.give_back()

    def _activity(self, name: str, work: Payload) -> CompletableTask[Any]:
        return self.ctx.call_activity(name, input=work.to_json(), return_type=dict)
