"""The state machine of one transfer: the table of ``transitions``, with counts and deadlines.

Its only inputs are results of activities and the orchestrator's clock, so a replay decides the
same. Retries without progress are bounded; every transfer ends shortly after its deadline.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from shared.transfer.activity_payloads import ActivityResult, Job
from shared.transfer.payloads import Payload
from shared.transfer.retry_policy import LAST_SEARCH_PATIENCE
from shared.transfer.workflow.backoff import Deadline, Patience, Pause
from shared.transfer.workflow.failures import Failures
from shared.transfer.workflow.search import Search
from shared.transfer.workflow.stages import (
    ENDED_BEFORE,
    LAST_SEARCHES,
    LATE,
    SEARCHES,
    End,
    Ending,
    Event,
    Stage,
    State,
    bytes_sent_by,
    work_of,
)
from shared.transfer.workflow.transitions import TRANSITIONS

_NOTED = frozenset({Event.PROGRESS, Event.RECONCILE})
_NEEDS_ATTEMPT = frozenset({"new_session", "start_over", "not_attached"})


class StateMachine:
    """The state of one job: ``work()`` is the next activity's input, ``apply`` its result.

    ``pause`` is the wait before it, if any; ``end`` is set when the transfer has ended.
    """

    def __init__(self, job: Job, now: datetime) -> None:
        self.job = job
        self.state = State.QUEUED_TO_POST if job.is_small else State.QUEUED_TO_CREATE
        self.offset = 0
        self.pause: Pause | None = None
        self.end: End | None = None
        self._deadline = Deadline(now + timedelta(seconds=job.queue_seconds))
        self._patience = Patience()
        self._search = Search(now)
        self._failures = Failures()
        # Whether the ledger is known to have a row of this transfer.
        self._noted = False

    @property
    def stage(self) -> Stage:
        """The kind of work that is next."""
        return self.state.stage

    @property
    def sends(self) -> int:
        """The most bytes that this work sends."""
        return bytes_sent_by(self.stage, self.job, self.offset)

    def work(self) -> Payload:
        """The input of the stage's activity."""
        return work_of(self.state, self.job, self.offset, noted=self._noted)

    def begin(self, now: datetime) -> None:
        """Note that the locks are acquired; the first time, the transfer's own deadline begins."""
        if Event.BEGIN in TRANSITIONS[self.state]:
            self._deadline = Deadline.after(self.job.deadline_seconds, now)
            self._move(Event.BEGIN, now)

    def measure(self, now: datetime, waited: float) -> None:
        """Note in the job how long it waited for its locks, and if its deadline is near."""
        near = self._deadline.is_near(now) and self.stage is not Stage.CLOSE
        if near:
            self._deadline = replace(self._deadline, near_from=None)
        self._update_job(waited_seconds=waited, near_deadline=near)

    def patience(self, now: datetime) -> float:
        """The longest wait for the locks, in seconds."""
        grace = LAST_SEARCH_PATIENCE.total_seconds() if self.state in LATE else 0.0
        return max(0.0, self._deadline.left(now) + grace)

    def waited(self, now: datetime) -> None:
        """Note that the wait for the locks lasted until now."""
        self.pause = None
        if self.state in LATE and not self.patience(now):
            self._move(Event.NO_CALL_LEFT, now)
        else:
            self._check_deadline(now)

    def cancel(self, now: datetime) -> None:
        """Send no more bytes; a file that may be attached is still searched for."""
        if self.end is None:
            self._move(Event.CANCEL, now)

    def search_after_all(self, now: datetime) -> None:
        """Another run may have attached the file: search for it, and otherwise end as before."""
        end, self.end = self.end, None
        cancelled = end is not None and end.state == "cancelled"
        self.state = State.SEARCHING_CANCELLED if cancelled else State.SEARCHING_FOR_POST
        otherwise = ActivityResult(outcome="failed", failure=end.error if end else None)
        self._search = Search(now + timedelta(seconds=self.job.reconcile_seconds), otherwise)
        self._update_job(unsure=True)

    def apply(self, result: ActivityResult, now: datetime) -> None:
        """Choose the next state by the result of the stage's activity."""
        self.pause = None
        self._failures.note(result.failure)
        if result.etag:
            self._update_job(etag=result.etag)
        self._patience.note(result.offset)
        event = self._first(self._events_of(result, now))
        self._update(result, event, now)
        self._move(event, now, result)
        if self.end is None:
            if result.retry_after and self.pause is None:
                self.pause = Pause(0, result.retry_after)
            self._check_deadline(now)

    def _events_of(self, result: ActivityResult, now: datetime) -> Iterator[Event]:
        """What the result can stand for, special cases first."""
        outcome = result.outcome
        if outcome == "retry" and (self.state in LATE or not self._patience.allows(result)):
            if result.otherwise is None:
                yield Event.RETRIES_SPENT
            else:
                outcome = result.otherwise.outcome
        if outcome == "retry" and self._leaves_doubt(result):
            yield Event.RETRY_IN_DOUBT
        if outcome == ("post_instead" if self.job.is_small else "session_instead"):
            yield Event.BOTH_REFUSED
        yield from self._search.events_of(result, now)
        if outcome in _NEEDS_ATTEMPT and not self._patience.has_attempts:
            if self._failures.allow_session_at_last(self.job):
                yield Event.SESSION_AT_LAST
            yield Event.ATTEMPTS_SPENT
        yield Event(outcome)

    def _first(self, events: Iterator[Event]) -> Event:
        """The first special case in the state's row, or else the general case, which is last."""
        *special, general = events
        return next((each for each in special if each in TRANSITIONS[self.state]), general)

    def _leaves_doubt(self, result: ActivityResult) -> bool:
        """Whether a delivery that claimed this work may have attached the file."""
        return result.storage_failed if self.stage is Stage.POST else self._may_be_complete

    @property
    def _may_be_complete(self) -> bool:
        """Whether this work, or a delivery of it, sends the last byte of the file."""
        return self.offset + self.job.activity_bytes >= self.job.size

    def _update(self, result: ActivityResult, event: Event, now: datetime) -> None:
        """Update what the event changes besides the state."""
        self._noted |= event in _NOTED and self.stage is not Stage.CLOSE
        match event:
            case Event.ATTACHED:
                self.offset = self.job.size
            case Event.PROGRESS if self.stage is not Stage.CLOSE:
                self._progress(result)
            case Event.RETRY | Event.RETRY_IN_DOUBT:
                self._retry(result, event)
            case Event.SESSION_INSTEAD | Event.POST_INSTEAD if self.job.run:
                self._update_job(attempt=self.job.attempt + 1)
            case Event.NEW_SESSION | Event.START_OVER | Event.SESSION_AT_LAST:
                self._new_attempt(result, at_last=event is Event.SESSION_AT_LAST)
            case Event.NOT_YET:
                self._search_again(now)
            case Event.NOT_ATTACHED if self.state in LAST_SEARCHES:
                if self._search.otherwise and self._search.otherwise.etag:
                    self._update_job(etag=self._search.otherwise.etag)
                self._new_attempt(result)
            case event if event in ENDED_BEFORE and self._search.otherwise:
                self.offset = 0
                self._failures.end_as(self._search.otherwise)

    def _progress(self, result: ActivityResult) -> None:
        if self.stage is Stage.UPLOAD and result.offset <= self.offset:
            self.pause = self._patience.pause()
        self.offset = result.offset

    def _retry(self, result: ActivityResult, event: Event) -> None:
        if self.stage is Stage.POST and event is Event.RETRY:
            # The attempt is over: refused, or claimed by a delivery that did not send it.
            unsure = self.job.unsure or result.may_be_attached
            self._update_job(attempt=self.job.attempt + 1, unsure=unsure)
        if self.stage is Stage.UPLOAD:
            if result.offset > self.offset:
                self._patience.reset_backoff()
            self.offset = result.offset
        self.pause = self._patience.pause(result.retry_after or 0.0)

    def _new_attempt(self, result: ActivityResult, *, at_last: bool = False) -> None:
        if at_last:
            self._failures.end_posts()
        self.pause = self._patience.new_attempt(result.retry_after or 0.0)
        self.offset = 0
        self._update_job(attempt=self.job.attempt + 1)

    def _search_again(self, now: datetime) -> None:
        left = self._search.left(now)
        self._search = self._search.repeated(now)
        self.pause = self._patience.pause(at_most=left) if left > 0 else self._patience.pause()

    def _check_deadline(self, now: datetime) -> None:
        """Change the state if the deadline is over, or if no call is allowed before it."""
        left = self._deadline.left(now)
        retry_after = self.pause.retry_after if self.pause else 0.0
        if left > retry_after:
            if self.pause is not None:
                self.pause = replace(self.pause, at_most=min(self.pause.at_most, left))
        elif retry_after:
            self._move(Event.NO_CALL_LEFT, now)
        else:
            self._move(self._first(self._deadline_events(now)), now)

    def _deadline_events(self, now: datetime) -> Iterator[Event]:
        if self._search.left(now) > 0:
            yield Event.DEADLINE_CUTS_SHORT
        if self._may_be_complete or self.job.unsure:
            yield Event.DEADLINE_IN_DOUBT
        yield Event.DEADLINE

    def _move(self, event: Event, now: datetime, result: ActivityResult | None = None) -> None:
        """Go to the state that the table gives, or to the end."""
        before, after = self.state, TRANSITIONS[self.state][event]
        if isinstance(after, Ending):
            error = after.error(self._failures.last, self.job.mailbox)
            id_ = result.attachment_id if result else None
            unknown = after is Ending.UNKNOWN
            self.end, self.pause = End(after.status, self.offset, id_, error, unknown), None
            return
        self.state = after
        if after.stage is not before.stage:
            self._patience.renew()
        if after in LATE and before not in LATE:
            self.pause, self._search = None, Search(until=now)
        elif after in SEARCHES and before not in SEARCHES:
            self._search = Search.after(result, now, self.job.reconcile_seconds)
        if after in SEARCHES:
            self._update_job(unsure=True)

    def _update_job(self, **fields: object) -> None:
        self.job = self.job.model_copy(update=fields)
