from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.transfer.activity_payloads import (
    ActivityResult,
    CancelUploadSession,
    FindAttachment,
    Job,
    Outcome,
    UploadRanges,
)
from shared.transfer.payloads import Failure
from shared.transfer.workflow.stages import End, Event, Stage, State
from shared.transfer.workflow.state_machine import SMALL_FILE_BYTES, StateMachine
from shared.transfer.workflow.transitions import TABLE

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
LARGE = 20_000_000
BUSY = Failure(code="GraphRefused", message="busy")
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


def job(size: int = LARGE) -> Job:
    return Job(
        transfer_id="f-1",
        blob="x",
        etag="e1",
        created="2026",
        md5="m",
        size=size,
        mailbox="a@contoso.com",
        item_type="message",
        item_id="M",
        file_name="x",
        content_type="text/plain",
        activity_bytes=1_000,
        queue_seconds=7200,
        deadline_seconds=3600,
        reconcile_seconds=120,
    )


def begun(job: Job, now: datetime) -> StateMachine:
    """A transfer whose mailbox may receive."""
    attaching = StateMachine(job, now)
    attaching.begin(now)
    return attaching


def drive(attaching: StateMachine, *steps: ActivityResult, seconds: float = 1) -> list[str]:
    """Hand in the steps one after the other; the stages that each of them was taken at."""
    stages = []
    now = NOW
    for step in steps:
        stages.append(attaching.stage.name)
        now += timedelta(seconds=seconds)
        attaching.apply(step, now)
    return stages


def end_of(attaching: StateMachine) -> End:
    """How it ended; it must have."""
    assert attaching.end is not None
    return attaching.end


def step(outcome: Outcome, **fields: object) -> ActivityResult:
    return ActivityResult.model_validate({"outcome": outcome, **fields})


def is_possible(state: State, outcome: Outcome) -> bool:
    """Whether a state's activity can have this outcome; any activity can say that it is busy."""
    return outcome == "retry" or (outcome != "recorded" and Event(outcome) in TABLE[state])


def test_a_large_file_goes_up_by_a_session() -> None:
    """Create, ranges from where the server stands, attached."""
    attaching = begun(job(), NOW)
    stages = drive(attaching, step("progress"), step("progress", offset=8_000_000))
    assert isinstance(work := attaching.work(), UploadRanges)
    assert work.offset == 8_000_000
    stages += drive(attaching, step("attached", attachment_id="A"))
    assert stages == ["CREATE", "UPLOAD", "UPLOAD"]
    end = end_of(attaching)
    assert (end.state, end.attachment_id) == ("attached", "A")
    assert end.bytes_sent == LARGE


@pytest.mark.parametrize(
    ("size", "first"),
    [(0, Stage.POST), (SMALL_FILE_BYTES - 1, Stage.POST), (SMALL_FILE_BYTES, Stage.CREATE)],
)
def test_the_size_chooses_the_way(size: int, first: Stage) -> None:
    """Under 3 MB one POST, an empty file too; from there on a session."""
    assert begun(job(size), NOW).stage is first


def test_outlooks_own_boundary_decides() -> None:
    """A session refused as too small becomes a POST, and a POST too large a session."""
    assert drive(begun(job(), NOW), step("post_instead"), step("attached")) == [
        "CREATE",
        "POST",
    ]
    assert drive(begun(job(5), NOW), step("session_instead"), step("progress")) == [
        "POST",
        "CREATE",
    ]


def test_a_file_that_fits_neither_way_ends() -> None:
    """The two refusals do not chase each other for ever."""
    attaching = begun(job(), NOW)
    drive(attaching, step("post_instead"), step("session_instead", failure=BUSY))
    end = end_of(attaching)
    assert end.error == BUSY


def test_an_unknown_outcome_deletes_the_session_before_it_looks() -> None:
    """A session that lives could commit after the look; only then a new attempt."""
    attaching = begun(job(), NOW)
    stages = drive(attaching, step("progress"), step("reconcile"))
    assert isinstance(attaching.work(), CancelUploadSession)
    stages += drive(attaching, step("progress"), step("not_attached"))
    assert stages == ["CREATE", "UPLOAD", "CLOSE", "LOOK"]
    assert attaching.stage is Stage.LOOK
    assert attaching.pause is not None


def test_outlook_may_commit_late() -> None:
    """The look is repeated for RECONCILE_SECONDS, then the file goes up again from byte 0."""
    attaching = begun(job(), NOW)
    drive(attaching, step("progress"), step("progress", offset=9), step("reconcile"))
    drive(attaching, step("progress"))
    attaching.apply(step("not_attached"), NOW + timedelta(seconds=100))
    assert attaching.stage is Stage.LOOK
    attaching.apply(step("not_attached"), NOW + timedelta(seconds=130))
    assert isinstance(last := attaching.work(), FindAttachment)
    assert last.is_last_attempt
    attaching.apply(step("not_attached"), NOW + timedelta(seconds=130))
    assert (attaching.stage, attaching.offset) == (Stage.CREATE, 0)
    assert (attaching.job.attempt, attaching.job.unsure) == (2, True)


def test_a_lost_small_post_is_looked_for() -> None:
    """There is no session to delete; a new attempt has a new number."""
    attaching = begun(job(5), NOW)
    assert drive(attaching, step("reconcile"), step("attached", attachment_id="A")) == [
        "POST",
        "LOOK",
    ]


def test_a_refused_small_post_is_told_from_a_second_delivery() -> None:
    """Each POST has an attempt number of its own."""
    attaching = begun(job(5), NOW)
    drive(attaching, step("retry", retry_after=7.0))
    assert attaching.job.attempt == 2
    assert attaching.pause is not None
    assert attaching.pause.retry_after == 7


def test_new_sessions_are_bounded_but_progress_refills_them() -> None:
    """Five sessions without a byte more than before are enough; one byte more starts the count."""
    attaching = begun(job(), NOW)
    for tried in range(4):
        drive(attaching, step("progress"), step("new_session", failure=BUSY), step("progress"))
        assert attaching.end is None, tried
    drive(attaching, step("progress"), step("progress", offset=10))
    drive(attaching, step("new_session", failure=BUSY))
    assert attaching.end is None
    for _ in range(5):
        drive(attaching, step("progress"), step("progress"), step("new_session", failure=BUSY))
    end = end_of(attaching)
    assert end.error == BUSY


def test_the_fifth_attempt_without_progress_is_the_last() -> None:
    """Not one more: each costs the mailbox a session."""
    attaching = begun(job(), NOW)
    sessions = 0
    while attaching.end is None:
        drive(attaching, step("progress"), step("new_session", failure=BUSY))
        sessions += 1
        if attaching.end is None:
            drive(attaching, step("progress"))
    assert sessions == 5


def test_the_backoff_starts_anew_when_the_session_gets_further() -> None:
    """Even if the transfer does not: an earlier session had more bytes."""
    attaching = begun(job(), NOW)
    drive(attaching, step("progress"), step("progress", offset=9_000), step("new_session"))
    drive(attaching, step("progress"), step("progress"))
    drive(attaching, *[step("retry", failure=BUSY)] * 3)
    assert attaching.pause is not None
    assert attaching.pause.tries == 2
    drive(attaching, step("retry", offset=1_000, failure=BUSY))
    assert attaching.pause.tries == 0


def test_ranges_that_are_accepted_without_progress_are_slowed_down() -> None:
    """A session that accepts a range and stays where it is would be sent it for ever."""
    attaching = begun(job(), NOW)
    drive(attaching, step("progress"))
    tries = []
    for offset in (1_000, 1_000, 1_000, 1_000, 2_000):
        drive(attaching, step("progress", offset=offset))
        tries.append(attaching.pause.tries if attaching.pause else None)
    assert tries == [None, 0, 1, 2, None]


@pytest.mark.parametrize(("seconds", "code"), [(119, "OutcomeUnknown"), (120, "DeadlineExceeded")])
def test_a_search_that_the_deadline_cuts_short_proves_nothing(seconds: int, code: str) -> None:
    """Outlook may still commit until RECONCILE_SECONDS are over; after that it has not."""
    attaching = begun(job(5), NOW)
    late = NOW + timedelta(seconds=3_600)
    attaching.apply(step("reconcile"), late - timedelta(seconds=seconds))
    attaching.apply(step("not_attached", failure=BUSY), late)
    assert attaching.end is None
    attaching.apply(step("not_attached"), late)
    error = end_of(attaching).error
    assert error is not None
    assert error.code == code


def test_a_fresh_draft_is_waited_for_a_few_times() -> None:
    """A step that bounds its tries ends with its own error."""
    attaching = begun(job(), NOW)
    missing = step("retry", tries=4, failure=Failure(code="ItemNotFound", message="?"))
    drive(attaching, missing, missing, missing)
    assert attaching.end is None
    drive(attaching, missing)
    end = end_of(attaching)
    assert end.error == missing.failure


def test_waits_of_other_kinds_do_not_count_against_a_bounded_refusal() -> None:
    """After any number of busy answers, one 404 is still the first 404."""
    attaching = begun(job(), NOW)
    drive(attaching, *[step("retry", failure=BUSY)] * 9)
    missing = Failure(code="ItemNotFound", message="?")
    drive(attaching, step("retry", tries=4, failure=missing))
    assert attaching.end is None


def test_a_changed_blob_starts_over_with_its_new_etag() -> None:
    """The old session is deleted first."""
    attaching = begun(job(), NOW)
    stages = drive(attaching, step("progress"), step("start_over", etag="e2"), step("progress"))
    assert stages == ["CREATE", "UPLOAD", "CLOSE"]
    assert (attaching.stage, attaching.job.etag) == (Stage.CREATE, "e2")


def test_a_session_that_cannot_be_deleted_does_not_hold_it_up() -> None:
    """A few tries, then on: it will expire."""
    attaching = begun(job(), NOW)
    drive(attaching, step("progress"), step("new_session"))
    drive(attaching, *[step("retry", tries=4)] * 4)
    assert attaching.stage is Stage.CREATE
    assert attaching.end is None


@pytest.mark.parametrize("state", ["failed", "superseded"])
def test_a_typed_end_ends_it(state: Outcome) -> None:
    """The activity's own reason is the transfer's."""
    attaching = begun(job(), NOW)
    drive(attaching, step(state, failure=BUSY))
    end = end_of(attaching)
    assert (end.state, end.error) == (state, BUSY)


def test_the_deadline_ends_it_with_the_last_trouble() -> None:
    """An outage longer than the deadline is not waited out for ever."""
    attaching = begun(job(), NOW)
    drive(attaching, step("retry", retry_after=4000, failure=BUSY))
    end = end_of(attaching)
    assert end.error is not None
    assert end.error.code == "DeadlineExceeded"
    assert "busy" in end.error.message


def test_the_deadline_while_looking_says_that_nobody_knows() -> None:
    """It is neither claimed that the file is attached nor that it is not."""
    attaching = begun(job(5), NOW)
    drive(attaching, step("reconcile"))
    attaching.apply(step("retry", failure=BUSY), NOW + timedelta(hours=2))
    assert attaching.end is None, "there is one last look"
    attaching.apply(step("retry", failure=BUSY), NOW + timedelta(hours=2))
    end = end_of(attaching)
    assert end.error is not None
    assert end.error.code == "OutcomeUnknown"


@given(st.integers(0, 5_000_000), st.lists(st.integers(0, 99), min_size=300, max_size=300))
def test_whatever_happens_it_ends_in_time(size: int, choices: list[int]) -> None:
    """Any outcomes that a stage can have lead to an end by the deadline."""
    attaching = begun(job(size), NOW)
    now = NOW
    for choice in choices:
        possible = [each for each in OUTCOMES if is_possible(attaching.state, each)]
        outcome = possible[choice % len(possible)]
        now += timedelta(seconds=30)
        attaching.apply(step(outcome, offset=min(size, choice)), now)
        if attaching.end is not None:
            break
        assert attaching.work() is not None
    end_of(attaching)
    # The step that meets the deadline, the closing of its session and the last look take 30 s each.
    assert now - NOW <= timedelta(seconds=3600 + 3 * 30)


def test_waiting_for_the_mailbox_has_a_deadline_of_its_own() -> None:
    """Busy for QUEUE_DEADLINE_HOURS: it says so; the transfer's own deadline begins with a turn."""
    attaching = StateMachine(job(), NOW)
    attaching.waited(NOW + timedelta(seconds=7_199))
    assert attaching.end is None
    attaching.waited(NOW + timedelta(seconds=7_200))
    error = end_of(attaching).error
    assert error is not None
    assert error.code == "DeadlineExceeded"
    assert "QUEUE_DEADLINE_HOURS" in error.message


def test_each_stage_says_how_much_it_sends() -> None:
    """Base64 and an envelope for a POST; of ranges one activity's at most, or what is left."""
    assert begun(job(30), NOW).sends == 40 + 4_096
    attaching = begun(job(3_000_500), NOW)
    assert attaching.sends == 4_096
    drive(attaching, step("progress"))
    assert attaching.sends == 1_000
    drive(attaching, step("progress", offset=3_000_000))
    assert attaching.sends == 500
    drive(attaching, step("reconcile", offset=3_000_500))
    assert attaching.sends == 0


def test_at_the_deadline_half_a_file_is_not_looked_for() -> None:
    """It cannot be attached, so that whatever is there is somebody else's."""
    attaching = begun(job(3_000_500), NOW)
    drive(attaching, step("progress"), step("progress", offset=1_000), seconds=10)
    attaching.waited(NOW + timedelta(hours=2))
    error = end_of(attaching).error
    assert error is not None
    assert error.code == "DeadlineExceeded"


def test_at_the_deadline_no_guess_is_made() -> None:
    """An attachment whose bytes Outlook does not give may be somebody else's."""
    attaching = begun(job(), NOW)
    drive(attaching, step("progress"), step("progress", offset=job().size - 1), seconds=10)
    attaching.waited(NOW + timedelta(hours=2))
    drive(attaching, step("progress"))
    work = attaching.work()
    assert isinstance(work, FindAttachment)
    assert not work.is_last_attempt
