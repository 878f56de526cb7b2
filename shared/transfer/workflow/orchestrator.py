"""The orchestrator ``attach_blob``: one transfer, from a request to its record.

Deterministic: every decision rests on what activities and entities returned and on Durable's own
clock. What follows which outcome is decided in ``attaching``; every wait is a durable timer; every
path ends in a status that says how it ended.
"""

from typing import Any

from durabletask.task import CompletableTask, OrchestrationContext, Task, TaskFailedError

from shared.errors import InternalError
from shared.transfer.activity_payloads import (
    ActivityResult,
    CancelUploadSession,
    Inspect,
    Inspection,
    Job,
    RecordAttachment,
)
from shared.transfer.payloads import (
    Failure,
    Payload,
    RecordedStatus,
    TransferRequest,
)
from shared.transfer.retry_policy import (
    CLEANUP_PATIENCE,
    MAX_CLEANUP_TRIES,
    PREDECESSOR_PATIENCE,
    STORAGE_PATIENCE,
)
from shared.transfer.workflow.backoff import Waits, exactly
from shared.transfer.workflow.locks import Locks, Orchestration
from shared.transfer.workflow.stages import Pause, Stage
from shared.transfer.workflow.state_machine import StateMachine

# The external event that cancels a transfer.
CANCEL = "cancel"
# Seconds from which on a pause is told to whoever watches.
_LONG_WAIT = 5.0

_RECORDS: dict[str, RecordedStatus] = {
    "attached": "attached",
    "failed": "failed",
    "cancelled": "cancelled",
}


def predecessor_done(transfer_id: str) -> str:
    """The external event that begins a transfer which follows this one."""
    return f"go after {transfer_id}"


def attach_blob(
    ctx: OrchestrationContext, payload: dict[str, Any]
) -> Orchestration[dict[str, object]]:
    """Transfer one blob to one item; the output is the transfer's last status."""
    transfer = _Transfer(ctx, TransferRequest.from_json(payload))
    try:
        yield from transfer.run()
    except Exception:
        # A bug of ours: clean up and say so, then let the engine show the instance as failed.
        yield from transfer.end_after_a_bug()
        yield from transfer.release_followers()
        yield from transfer.announce()
        raise
    yield from transfer.release_followers()
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
            self.go = ctx.wait_for_external_event(predecessor_done(request.follows))
        self.recorded: RecordedStatus | None = None
        self.cancelled: Task[Any] = ctx.wait_for_external_event(CANCEL)
        self.waits = Waits(ctx, self.cancelled)
        self.locks = Locks(ctx, request.item) if request.item else None
        self.show()

    def show(self, **fields: object) -> None:
        """Tell the watchers the status, with these fields for now."""
        self.ctx.set_custom_status(self.status.model_copy(update=fields).to_json())

    def run(self) -> Orchestration[None]:
        if self.go:
            yield from self.waits.wait_for_event(self.go, PREDECESSOR_PATIENCE)
        inspection = yield from self._inspect()
        record = inspection.record
        if inspection.job and self.locks:
            self.status = self.status.model_copy(update={"size": inspection.job.size})
            yield from self._attach(inspection.job, self.locks)
            record = _RECORDS.get(self.status.state)
        elif inspection.ended:
            self.status = inspection.ended
        if record:
            self.recorded = record
            yield from self._record(record)

    def release_followers(self) -> Orchestration[None]:
        """However this transfer ended, those that follow go on: after those before it, too."""
        if self.request.next and self.go:
            self.show()
            yield from self.waits.wait_for_event(self.go, PREDECESSOR_PATIENCE, ignore_cancel=True)
        for transfer_id in self.request.next:
            self.ctx.send_event(transfer_id, predecessor_done(self.ctx.instance_id))

    def announce(self) -> Orchestration[None]:
        """Tell the end by an event, if the app does, and if it is one that was recorded."""
        if self.request.announced and self.recorded:
            try:
                yield self._activity("announce_end", self._ended(self.recorded))
            except TaskFailedError:
                # The engine has it in its log; the file is where it is.
                return

    def end_after_a_bug(self) -> Orchestration[None]:
        """What is attached stays so; whatever else fails does not hide the first error."""
        if self.status.state == "queued":
            # How it ended before that is worth more, if it had.
            bug = Failure.of(InternalError(self.ctx.instance_id))
            self.status = self.status.model_copy(update={"state": "failed", "error": bug})
        self.recorded = self.recorded or _RECORDS.get(self.status.state)
        for cleanup in (self._release_locks, self._delete_notes_after_a_bug, self._record_again):
            try:
                yield from cleanup()
            except TaskFailedError:
                continue

    def _inspect(self) -> Orchestration[Inspection]:
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

    def _attach(self, job: Job, locks: Locks) -> Orchestration[None]:
        machine = StateMachine(job, self.ctx.current_utc_datetime)
        while True:
            if self.cancelled.is_complete:
                machine.cancel(self.ctx.current_utc_datetime)
            if machine.end is not None:
                break
            # A rest that a cancellation cut short is kept before anything else is asked.
            if retry_after := self.waits.retry_after:
                yield self.waits.timer(exactly(retry_after))
            elif wait := (yield from locks.acquire(machine.sends)):
                self.show(state="waiting", bytes_sent=machine.offset)
                patience = machine.patience(self.ctx.current_utc_datetime)
                yield from self.waits.wait_for_lock(min(wait, patience))
                machine.waited(self.ctx.current_utc_datetime)
            else:
                yield from self._advance(machine, locks)
        self.status = self.status.model_copy(update=machine.end.status())
        yield from locks.release()
        if machine.end.state != "attached":
            yield from self._delete_notes(locks)

    def _advance(self, machine: StateMachine, locks: Locks) -> Orchestration[None]:
        """Have the stage's activity done, and pause if need be."""
        machine.begin(self.ctx.current_utc_datetime, locks.waited)
        self.show(state="uploading", bytes_sent=machine.offset)
        stage, most = machine.stage, machine.sends
        result = ActivityResult.from_json((yield self._activity(stage.value, machine.work())))
        sent = result.sent if stage is Stage.UPLOAD else most
        locks.used(sent, result.retry_after or 0.0)
        self.waits.note_retry_after(result)
        machine.apply(result, self.ctx.current_utc_datetime)
        if self.cancelled.is_complete:
            machine.cancel(self.ctx.current_utc_datetime)
        if machine.pause is not None:
            yield from locks.release()
            if machine.pause.retry_after >= _LONG_WAIT:
                self.show(state="waiting", bytes_sent=machine.offset)
            yield from self.waits.pause(machine.pause)

    def _record_again(self) -> Orchestration[None]:
        if self.recorded:
            yield from self._record(self.recorded)

    def _record(self, record: RecordedStatus) -> Orchestration[None]:
        self.show(state="recording")
        work = self._ended(record)
        until = self.ctx.current_utc_datetime + STORAGE_PATIENCE
        tries = 0
        while True:
            result = ActivityResult.from_json((yield self._activity("record_attachment", work)))
            left = (until - self.ctx.current_utc_datetime).total_seconds()
            if result.outcome != "retry" or left <= 0:
                return
            yield self.waits.timer(Pause(tries, at_most=left))
            tries += 1

    def _ended(self, record: RecordedStatus) -> RecordAttachment:
        id_ = self.ctx.instance_id
        return RecordAttachment(
            transfer_id=id_, content=self.request.content, status=self.status, record=record
        )

    def _delete_notes(self, locks: Locks) -> Orchestration[None]:
        """Delete the session and its notes, when it is this transfer's turn."""
        until = self.ctx.current_utc_datetime + CLEANUP_PATIENCE
        tries = 0
        while True:
            retry_after = self.waits.retry_after
            wait = retry_after or (yield from locks.acquire(0))
            left = (until - self.ctx.current_utc_datetime).total_seconds()
            last = tries == MAX_CLEANUP_TRIES - 1 or wait > left
            result = yield from self._delete_notes_once(resting=wait > 0, last=last)
            over = last or result.outcome != "retry"
            locks.used(0, result.retry_after or 0.0)
            if over or not wait:
                yield from locks.release()
            if over:
                return
            self.waits.note_retry_after(result)
            if not wait:
                tries += 1
                yield self.waits.timer(Pause(tries, self.waits.retry_after))
            elif retry_after:
                yield self.waits.timer(exactly(retry_after))
            else:
                yield from self.waits.wait_for_lock(wait)

    def _delete_notes_after_a_bug(self) -> Orchestration[None]:
        if self.status.state != "attached":
            yield from self._delete_notes_once(resting=self.waits.retry_after > 0, last=True)

    def _delete_notes_once(self, *, resting: bool, last: bool) -> Orchestration[ActivityResult]:
        work = CancelUploadSession(
            transfer_id=self.ctx.instance_id,
            delete_notes=True,
            must_wait=resting,
            best_effort=last,
        )
        return ActivityResult.from_json((yield self._activity("cancel_upload_session", work)))

    def _release_locks(self) -> Orchestration[None]:
        if self.locks:
            yield from self.locks.release()

    def _activity(self, name: str, work: Payload) -> CompletableTask[Any]:
        return self.ctx.call_activity(name, input=work.to_json(), return_type=dict)
