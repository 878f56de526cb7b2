"""What follows what on the way to an attachment: the decisions of the orchestrator, pure.

Driven by the steps that activities return and by the clock handed in, so that a replay decides
the same. Bounds: everything ends within the job's deadline; a step that says so is repeated only
so often without progress; progress is a byte that Outlook never had before.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from shared.transfer.activity_payloads import (
    ActivityResult,
    CancelUploadSession,
    FindAttachment,
    Job,
    UploadRanges,
)
from shared.transfer.messages import (
    deadline_exceeded,
    outcome_unknown,
    queue_deadline_exceeded,
    refused_without_reason,
)
from shared.transfer.payloads import Failure, Payload
from shared.transfer.retry_policy import LAST_LOOK_PATIENCE, MAX_UNREAD_LOOKS
from shared.transfer.workflow.patience import Patience
from shared.transfer.workflow.stages import NEXT, SENDING, End, Pause, Stage, bytes_sent_by

# Under this, one POST. Outlook's own boundary is not published, so either way can lead to the
# other (protocol §1); base64 of this fits a request of 4 MB.
SMALL_FILE_BYTES = 3_000_000
# The part of a transfer's time in which it is said to be near its deadline.
_LAST_PART = 0.2


class StateMachine:
    """One job on its way. ``stage`` and ``work()`` say what to do, ``took`` what came of it.

    ``pause`` is the wait before the next stage, None for no wait; ``end`` is set at the end. Until
    ``begin`` is called it waits for its mailbox, with a deadline of its own.
    """

    def __init__(self, job: Job, now: datetime) -> None:
        self.job = job
        self.stage = Stage.POST if job.size < SMALL_FILE_BYTES else Stage.CREATE
        self.offset = 0
        self.pause: Pause | None = None
        self.end: End | None = None
        self._begun = False
        self._near_deadline = False
        self._deadline = now + timedelta(seconds=job.queue_seconds)
        self._patience = Patience()
        self._after_close = Stage.CREATE
        self._look_until = self._deadline
        self._last_look = False
        self._unread_looks = 0
        # Whether an earlier delivery of this stage's work may have attached the file, for all
        # that its repetition could tell; whether the notes of what it had before are known to be.
        self._perhaps_done = False
        self._noted = False
        self._cut_short = False
        self._ways_changed = 0
        self._reason: Failure | None = None
        # What comes after a look that found nothing, if not another attempt.
        self._otherwise: ActivityResult | None = None
        self._cancelled = False
        self._overdue = False

    def begin(self, now: datetime, waited: float = 0.0) -> None:
        """The mailbox may receive, after a wait of so many seconds.

        From the first time on, the transfer's own deadline counts.
        """
        if not self._begun:
            self._begun = True
            self._deadline = now + timedelta(seconds=self.job.deadline_seconds)
        left = (self._deadline - now).total_seconds()
        near = left <= _LAST_PART * self.job.deadline_seconds and self.stage is not Stage.CLOSE
        update = {"waited_seconds": waited, "near_deadline": near and not self._near_deadline}
        self.job = self.job.model_copy(update=update)
        self._near_deadline |= near

    def waited(self, now: datetime) -> None:
        """Nothing was done until this time but wait for others."""
        self.pause = None
        if self._overdue and not self.patience(now):
            self._fail(self._unknown())
        else:
            self._end_if_overdue(now)

    def patience(self, now: datetime) -> float:
        """Seconds for which it may wait for its turn: to the deadline, or the last look's own."""
        until = self._deadline + (LAST_LOOK_PATIENCE if self._overdue else timedelta())
        return max(0.0, (until - now).total_seconds())

    @property
    def sends(self) -> int:
        """The most bytes that the stage's activity gives the mailbox."""
        return bytes_sent_by(self.stage, self.job, self.offset)

    def cancel(self, now: datetime) -> None:
        """Send nothing more. What may be attached already is still looked for."""
        self._cancelled = True
        self._end_if_cancelled(now)

    def work(self) -> Payload:
        """The input of the stage's activity."""
        match self.stage:
            case Stage.UPLOAD:
                return UploadRanges(job=self.job, offset=self.offset)
            case Stage.CLOSE:
                return CancelUploadSession(transfer_id=self.job.transfer_id)
            case Stage.LOOK:
                # Cut short by the deadline, the bytes alone may tell.
                is_last_attempt = self._last_look and not self._overdue
                return FindAttachment(
                    job=self.job, is_last_attempt=is_last_attempt, noted=self._noted
                )
            case _:
                return self.job

    def apply(self, result: ActivityResult, now: datetime) -> None:
        """Go on from what the stage's activity returned at this time."""
        self.pause = None
        self._reason = result.failure or self._reason
        if result.etag:
            self.job = self.job.model_copy(update={"etag": result.etag})
        self._patience.note(result.offset)
        match result.outcome:
            case "attached":
                self.end = End("attached", self.job.size, result.attachment_id)
            case "failed" if self._is_looking:
                self._fail(self._unknown())
            case "failed" | "superseded" as state:
                self.end = End(state, self.offset, error=result.failure)
            case "retry" if self._again(result):
                self._retry(result)
            case _ if self.stage is Stage.CLOSE:
                self._enter(self._after_close)
            case "retry":
                self._fail(self._unknown() if self._is_looking else result.failure)
            case _:
                self._go_on(result, now)
        if result.retry_after and not self.pause:
            # Whatever comes next, the far side has asked for a rest.
            self.pause = Pause(0, result.retry_after)
        self._end_if_cancelled(now)
        self._end_if_overdue(now)
        if self.end is not None:
            self.pause = None

    @property
    def _is_looking(self) -> bool:
        """Whether it is still open if the file is attached."""
        closing = self.stage is Stage.CLOSE and self._after_close is Stage.LOOK
        return closing or self.stage is Stage.LOOK

    def _again(self, result: ActivityResult) -> bool:
        closing_late = self._overdue and self.stage is Stage.CLOSE
        return not closing_late and self._patience.allows(result)

    def _enter(self, stage: Stage) -> None:
        if stage is not self.stage:
            self._patience.renew()
        self.stage = stage

    def _go_on(self, result: ActivityResult, now: datetime) -> None:
        stage, outcome = self.stage, result.outcome
        self._noted = self._noted or outcome in {"progress", "reconcile"}
        self._enter(NEXT[stage, outcome])
        match outcome:
            case "progress":
                self._progress(stage, result)
            case "session_instead" | "post_instead":
                self._other_way(result)
            case "new_session" | "start_over":
                self._after_close = Stage.CREATE
                self._new_attempt(result)
            case "reconcile":
                self._look(now + timedelta(seconds=self.job.reconcile_seconds), result.otherwise)
            case _:
                self._not_found(now, unread=result.failure is not None)

    def _look(self, until: datetime, otherwise: ActivityResult | None = None) -> None:
        """Look for what may be attached, after its session is closed: Outlook may commit late."""
        self._otherwise = otherwise
        self._after_close = Stage.LOOK
        self._look_until = until
        self._last_look = False
        self._unread_looks = 0
        self.job = self.job.model_copy(update={"unsure": True})
        self._perhaps_done = False

    def _not_found(self, now: datetime, *, unread: bool) -> None:
        left = (self._look_until - now).total_seconds()
        if left > 0:
            self.pause = self._patience.pause(at_most=left)
        elif unread and self._unread_looks < MAX_UNREAD_LOOKS:
            # Something is there whose bytes Outlook did not give this time.
            self._unread_looks += 1
            self.pause = self._patience.pause()
        elif not self._last_look:
            self._last_look = True
        elif self._overdue:
            self._fail(self._unknown() if self._cut_short else self._late())
        elif self._cancelled:
            self.end = End("cancelled", 0)
        else:
            self._attached_nothing()

    def _attached_nothing(self) -> None:
        """That is certain now."""
        match self._otherwise:
            case ActivityResult(outcome="failed" | "superseded" as state, failure=failure):
                self.end = End(state, 0, error=failure)
                return
            case ActivityResult(etag=str(etag)):
                self.job = self.job.model_copy(update={"etag": etag})
        self._enter(Stage.POST if self._small else Stage.CREATE)
        self._new_attempt(ActivityResult(outcome="new_session", failure=self._reason))

    @property
    def _small(self) -> bool:
        return (self.job.size < SMALL_FILE_BYTES) != bool(self._ways_changed)

    def _progress(self, stage: Stage, result: ActivityResult) -> None:
        if stage is Stage.UPLOAD and result.offset <= self.offset:
            # Accepted, yet no further than before: not at full speed for ever.
            self.pause = self._patience.pause()
        self.offset = result.offset

    def _retry(self, result: ActivityResult) -> None:
        if self.stage is Stage.POST:
            # It may be the notes that could not be read.
            self._perhaps_done = result.storage_failed
            if not result.storage_failed:
                # Refused; a second delivery of one that was not must be told apart, even one that
                # could not read that it is the second.
                self.job = self.job.model_copy(update={"attempt": self.job.attempt + 1})
        if self.stage is Stage.UPLOAD:
            self._perhaps_done = self._may_be_complete
            if result.offset > self.offset:
                self._patience.reset_backoff()
            self.offset = result.offset
        self.pause = self._patience.pause(result.retry_after or 0.0)

    def _new_attempt(self, result: ActivityResult) -> None:
        pause = self._patience.new_attempt(result.retry_after or 0.0)
        if pause is None:
            self._fail(result.failure)
            return
        self.pause = pause
        self.offset = 0
        self._perhaps_done = False
        self.job = self.job.model_copy(update={"attempt": self.job.attempt + 1})

    def _other_way(self, result: ActivityResult) -> None:
        self._ways_changed += 1
        if self._ways_changed > 1:
            self._fail(result.failure)

    def _end_if_cancelled(self, now: datetime) -> None:
        if not self._cancelled or self.end is not None or self.stage not in SENDING:
            return
        if self._perhaps_done:
            self._enter(Stage.CLOSE)
            self._look(now + timedelta(seconds=self.job.reconcile_seconds))
        else:
            self.end, self.pause = End("cancelled", self.offset), None

    def _end_if_overdue(self, now: datetime) -> None:
        """At the deadline, one last look for what may be attached; then the end."""
        left = (self._deadline - now).total_seconds()
        if self.end is not None or left > (self.pause.retry_after if self.pause else 0.0):
            if self.pause is not None:
                self.pause = replace(self.pause, at_most=min(self.pause.at_most, left))
            return
        may_ask = self.pause is None or not self.pause.retry_after
        if self._may_be_attached and may_ask and not self._overdue:
            self._overdue = True
            self._cut_short = self._is_looking and now < self._look_until
            self._look(until=now)
            self._last_look = True
            self.stage = Stage.LOOK if self.stage is Stage.LOOK else Stage.CLOSE
            self.pause = None
        elif self._is_looking:
            if self.pause is not None or not may_ask:
                self._fail(self._unknown())
        else:
            self._fail(self._unknown() if self._perhaps_done else self._late())

    @property
    def _may_be_attached(self) -> bool:
        """Whether every byte may have gone out, though nobody has said so."""
        if self._is_looking or self._perhaps_done:
            return True
        sent = self.stage in {Stage.UPLOAD, Stage.CLOSE}
        return sent and (self._may_be_complete or self.job.unsure)

    @property
    def _may_be_complete(self) -> bool:
        """Whether the next activity, or one that was repeated, sends the file's last byte."""
        return self.offset + self.job.activity_bytes >= self.job.size

    def _unknown(self) -> Failure:
        return outcome_unknown(self._reason)

    def _late(self) -> Failure:
        return (
            deadline_exceeded(self._reason)
            if self._begun
            else queue_deadline_exceeded(self.job.mailbox)
        )

    def _fail(self, failure: Failure | None) -> None:
        self.end = End(
            "failed", self.offset, error=failure or self._reason or refused_without_reason()
        )
