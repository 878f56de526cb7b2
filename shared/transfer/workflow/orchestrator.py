"""The orchestrator ``attach_blob``: one transfer, from its request to its record.

Deterministic: every decision rests on results of activities and entities and on Durable's clock.
``transitions`` decides what follows which result; every wait is a durable timer; every path ends
in a status. How a change of this code keeps running transfers replayable: docs/architecture.md.
"""

from typing import Any

from durabletask.task import OrchestrationContext, Task, TaskFailedError

from shared.errors import InternalError
from shared.transfer.activity_payloads import ActivityResult, Inspect, Job
from shared.transfer.end_payloads import Announced, RecordAttachment
from shared.transfer.payloads import RECORDS, Failure, RecordedStatus, TransferRequest
from shared.transfer.retry_policy import MAX_CONTENTS, PREDECESSOR_PATIENCE
from shared.transfer.run_token import run_after
from shared.transfer.workflow.activity_calls import ActivityCalls
from shared.transfer.workflow.backoff import Waits, exactly
from shared.transfer.workflow.inspection import inspect
from shared.transfer.workflow.locks import Orchestration
from shared.transfer.workflow.state_machine import StateMachine
from shared.transfer.workflow.versions import is_1_0, locks_of, run_of

# The external event that cancels a transfer.
CANCEL = "cancel"
# Seconds: a longer pause is shown in the status.
_LONG_WAIT = 5.0


def predecessor_done(transfer_id: str) -> str:
    """The external event that starts the transfers which follow this one."""
    return f"go after {transfer_id}"


def attach_blob(
    ctx: OrchestrationContext, payload: dict[str, Any]
) -> Orchestration[dict[str, object]]:
    """Transfer one blob to one item; the output is the transfer's last status."""
    transfer = _Transfer(ctx, TransferRequest.from_json(payload))
    try:
        yield from transfer.run()
    except Exception:
        # A bug of this app: clean up and show it, then let the engine mark the instance as failed.
        yield from transfer.end_after_a_bug()
        yield from transfer.release_followers()
        yield from transfer.announce()
        raise
    yield from transfer.release_followers()
    yield from transfer.announce()
    transfer.show()
    return transfer.status.to_json()


class _Transfer:
    """One run: ``status`` is the custom status, and the output at the end."""

    def __init__(self, ctx: OrchestrationContext, request: TransferRequest) -> None:
        self.ctx = ctx
        self.request = request
        self.status = request.status
        self.predecessor: Task[Any] | None = None
        if request.follows:
            self.predecessor = ctx.wait_for_external_event(predecessor_done(request.follows))
        self.recorded: RecordedStatus | None = None
        self.cancelled: Task[Any] = ctx.wait_for_external_event(CANCEL)
        self.run_id = run_of(ctx)
        self.waits = Waits(ctx, self.cancelled, counts_outages=not is_1_0(ctx))
        self.activities = ActivityCalls(ctx, self.waits)
        self.locks = locks_of(ctx, request.item)
        self.job: Job | None = None
        self.show()

    def show(self, **fields: object) -> None:
        """Make the status the custom status, with these fields for now."""
        self.ctx.set_custom_status(self.status.model_copy(update=fields).to_custom_status())

    def run(self) -> Orchestration[None]:
        if self.predecessor:
            yield from self.waits.wait_for_event(self.predecessor, PREDECESSOR_PATIENCE)
        for left in reversed(range(MAX_CONTENTS)):
            if not (yield from self._run_once(proves=left > 0)):
                return
            self.run_id = run_after(self.job.run if self.job else self.run_id)

    def _run_once(self, *, proves: bool) -> Orchestration[bool]:
        """Transfer the blob's present content; whether it may be another one by the end."""
        work = Inspect(transfer_id=self.ctx.instance_id, request=self.request, run=self.run_id)
        inspection = yield from inspect(self.activities, work, self.status, self.cancelled)
        record = inspection.record
        if inspection.session_left:
            yield from self.activities.cancel_earlier_session(self.run_id)
        if inspection.job:
            self.status = self.status.model_copy(update={"size": inspection.job.size})
            yield from self._attach(inspection.job)
            record = RECORDS.get(self.status.state)
        elif self.status.state == "attached":
            # By an earlier pass, and that stays true.
            record = RECORDS["attached"]
        elif inspection.ended:
            self.status = inspection.ended
        if not record:
            return False
        self.recorded = record
        return (yield from self._record(record, proves=proves))

    def release_followers(self) -> Orchestration[None]:
        """Let the transfers that follow begin, but never before the predecessor is done."""
        if self.request.next and self.predecessor:
            self.show()
            yield from self.waits.wait_for_event(
                self.predecessor, PREDECESSOR_PATIENCE, ignore_cancel=True
            )
        for transfer_id in self.request.next:
            self.ctx.send_event(transfer_id, predecessor_done(self.ctx.instance_id))

    def announce(self) -> Orchestration[None]:
        """Publish an event about the end, if the transfer has a record and the app has a topic."""
        if self.request.announced and self.recorded:
            try:
                ended = self._ended(self.recorded)
                yield from self.activities.run("announce_end", ended, Announced)
            except TaskFailedError:
                # The engine logs it; the transfer itself has ended well.
                return

    def end_after_a_bug(self) -> Orchestration[None]:
        """End with an error, but never hide what is attached; clean up as far as possible."""
        if self.status.state == "queued":
            # An end that was reached before the bug is worth more.
            bug = Failure.of(InternalError(self.ctx.instance_id))
            self.status = self.status.model_copy(update={"state": "failed", "error": bug})
        self.recorded = self.recorded or RECORDS.get(self.status.state)
        for cleanup in (self.locks.release, self._clean_up_after_a_bug, self._record_again):
            try:
                yield from cleanup()
            except TaskFailedError:
                continue

    def _attach(self, job: Job) -> Orchestration[None]:
        machine = StateMachine(job, self.waits.app_time)
        while True:
            if self.cancelled.is_complete:
                machine.cancel(self.waits.app_time)
            self.job = machine.job
            if machine.end is not None:
                before = self.status
                self.status = before.model_copy(update=machine.end.status())
                if (yield from self._is_cleaned_up(machine)):
                    return
                self.status = before
                continue
            # A cancellation ends a pause, but never a Retry-After before the next call.
            if retry_after := self.waits.retry_after:
                yield from self.waits.pause_fully(exactly(retry_after))
            else:
                yield from self._advance(machine)

    def _is_cleaned_up(self, machine: StateMachine) -> Orchestration[bool]:
        """Release the locks and close the ledger's row, unless the end has to be searched for."""
        yield from self.locks.release()
        if machine.end and machine.end.state != "attached":
            result = yield from self.activities.clean_up(
                machine.job, self.locks, is_unknown=machine.end.is_unknown
            )
            if result.outcome == "reconcile":
                machine.search_after_all(self.waits.app_time)
                return False
            if result.outcome == "attached":
                # By the ledger, before this attempt; an error is about what the blob has now.
                update = {"state": "attached", "attachment_id": result.attachment_id}
                self.status = self.status.model_copy(update=update)
        return True

    def _advance(self, machine: StateMachine) -> Orchestration[None]:
        """Run the stage's activity under the lock, and keep the lock if there is no pause."""
        wait = yield from self.locks.acquire(machine.sends)
        if not wait:
            began = self.waits.app_time
            machine.measure(began, self.locks.waited)
            if not self.locks.is_queued:
                self.show(state="uploading", bytes_sent=machine.offset)
            name, work = machine.stage.value, machine.work()
            result = yield from self.activities.run(name, work, ActivityResult)
            wait = self.locks.note(result)
        if wait:
            yield from self._wait_for_lock(machine, wait)
            return
        machine.begin(began)
        self.waits.note_retry_after(result)
        machine.apply(result, self.waits.app_time)
        if self.cancelled.is_complete:
            machine.cancel(self.waits.app_time)
        if machine.pause is not None:
            yield from self.locks.release()
        yield from self._pause(machine)

    def _pause(self, machine: StateMachine) -> Orchestration[None]:
        if machine.pause is not None:
            if machine.pause.retry_after >= _LONG_WAIT:
                self.show(state="waiting", bytes_sent=machine.offset)
            yield from self.waits.pause(machine.pause)

    def _wait_for_lock(self, machine: StateMachine, seconds: float) -> Orchestration[None]:
        self.show(state="waiting", bytes_sent=machine.offset)
        patience = machine.patience(self.waits.app_time)
        yield from self.waits.wait_for_lock(min(seconds, patience))
        machine.waited(self.waits.app_time)

    def _record_again(self) -> Orchestration[None]:
        if self.recorded:
            yield from self._record(self.recorded)

    def _record(self, record: RecordedStatus, *, proves: bool = False) -> Orchestration[bool]:
        """Record the end; whether the blob may have been overwritten since it was read."""
        self.show(state="recording")
        ended = self._ended(record)
        if proves and record == "attached" and self.job and self.job.run and not self.job.md5:
            ended = ended.model_copy(update={"etag": self.job.etag})
        result = yield from self.activities.until_available(
            "record_attachment",
            ended,
            ActivityResult,
            unavailable=lambda each: each.outcome == "retry",
        )
        if result.failure and self.status.error is None:
            # The blob cannot say how its transfer ended: the status and the event do.
            self.status = self.status.model_copy(update={"error": result.failure})
        return result.outcome == "start_over"

    def _ended(self, record: RecordedStatus) -> RecordAttachment:
        id_ = self.ctx.instance_id
        return RecordAttachment(
            transfer_id=id_,
            run=self.job.run if self.job else self.run_id,
            content=self.request.content,
            status=self.status,
            record=record,
        )

    def _clean_up_after_a_bug(self) -> Orchestration[None]:
        if self.status.state != "attached":
            must_wait = self.waits.retry_after > 0
            for last_must_wait in (must_wait, True):
                result = yield from self.activities.clean_up_once(
                    self.job, must_wait=last_must_wait, last=True
                )
                if not self.locks.note(result):
                    return
