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
from tests.support.jobs import LARGE, job

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
BUSY = Failure(code="GraphRefused", message="busy")
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


def begun(job: Job, now: datetime) -> StateMachine:
    """A transfer that has its first locks."""
    machine = StateMachine(job, now)
    machine.begin(now)
    return machine


def drive(machine: StateMachine, *results: ActivityResult, seconds: float = 1) -> list[str]:
    """Apply the results one after the other; the stage that each of them was applied at."""
    stages = []
    now = NOW
    for each in results:
        stages.append(machine.stage.name)
        now += timedelta(seconds=seconds)
        machine.apply(each, now)
    return stages


def end_of(machine: StateMachine) -> End:
    """How it ended."""
    assert machine.end is not None
    return machine.end


def result(outcome: Outcome, **fields: object) -> ActivityResult:
    return ActivityResult.model_validate({"outcome": outcome, **fields})


def is_possible(state: State, outcome: Outcome) -> bool:
    """Whether a state's activity can have this outcome; any activity can say that it is busy."""
    return outcome == "retry" or (outcome != "recorded" and Event(outcome) in TABLE[state])


def test_a_large_file_is_uploaded_by_a_session() -> None:
    """Create, ranges from where the server stands, attached."""
    machine = begun(job(), NOW)
    stages = drive(machine, result("progress"), result("progress", offset=8_000_000))
    assert isinstance(work := machine.work(), UploadRanges)
    assert work.offset == 8_000_000
    stages += drive(machine, result("attached", attachment_id="A"))
    assert stages == ["CREATE", "UPLOAD", "UPLOAD"]
    end = end_of(machine)
    assert (end.state, end.attachment_id) == ("attached", "A")
    assert end.bytes_sent == LARGE


@pytest.mark.parametrize(
    ("size", "first"),
    [(0, Stage.POST), (SMALL_FILE_BYTES - 1, Stage.POST), (SMALL_FILE_BYTES, Stage.CREATE)],
)
def test_the_size_decides_between_request_and_session(size: int, first: Stage) -> None:
    """One POST below 3 MB, even for an empty file; a session from there on."""
    assert begun(job(size), NOW).stage is first


def test_a_refusal_of_the_size_leads_to_the_other_way() -> None:
    """A session refused as too small becomes a POST, and a POST too large a session."""
    assert drive(begun(job(), NOW), result("post_instead"), result("attached")) == [
        "CREATE",
        "POST",
    ]
    assert drive(begun(job(5), NOW), result("session_instead"), result("progress")) == [
        "POST",
        "CREATE",
    ]


def test_a_file_that_fits_neither_way_ends() -> None:
    """The second refusal is final."""
    machine = begun(job(), NOW)
    drive(machine, result("post_instead"), result("session_instead", failure=BUSY))
    end = end_of(machine)
    assert end.error == BUSY


def test_an_unknown_outcome_deletes_the_session_before_it_looks() -> None:
    """A session that lives could commit after the search."""
    machine = begun(job(), NOW)
    stages = drive(machine, result("progress"), result("reconcile"))
    assert isinstance(machine.work(), CancelUploadSession)
    stages += drive(machine, result("progress"), result("not_attached"))
    assert stages == ["CREATE", "UPLOAD", "CLOSE", "LOOK"]
    assert machine.stage is Stage.LOOK
    assert machine.pause is not None


def test_outlook_may_commit_late() -> None:
    """The search is repeated for RECONCILE_SECONDS, then the file is sent from byte 0 again."""
    machine = begun(job(), NOW)
    drive(machine, result("progress"), result("progress", offset=9), result("reconcile"))
    drive(machine, result("progress"))
    machine.apply(result("not_attached"), NOW + timedelta(seconds=100))
    assert machine.stage is Stage.LOOK
    machine.apply(result("not_attached"), NOW + timedelta(seconds=130))
    assert isinstance(last := machine.work(), FindAttachment)
    assert last.is_last_attempt
    machine.apply(result("not_attached"), NOW + timedelta(seconds=130))
    assert (machine.stage, machine.offset) == (Stage.CREATE, 0)
    assert (machine.job.attempt, machine.job.unsure) == (2, True)


def test_a_post_whose_answer_was_lost_is_searched_for() -> None:
    """There is no session to delete."""
    machine = begun(job(5), NOW)
    assert drive(machine, result("reconcile"), result("attached", attachment_id="A")) == [
        "POST",
        "LOOK",
    ]


def test_a_refused_post_differs_from_a_second_delivery() -> None:
    """Each POST has an attempt number of its own."""
    machine = begun(job(5), NOW)
    drive(machine, result("retry", retry_after=7.0))
    assert machine.job.attempt == 2
    assert machine.pause is not None
    assert machine.pause.retry_after == 7


def test_new_sessions_are_bounded_but_progress_resets_the_count() -> None:
    """Five sessions without a new byte are the most; one byte more starts the count again."""
    machine = begun(job(), NOW)
    for tried in range(4):
        drive(machine, result("progress"), result("new_session", failure=BUSY), result("progress"))
        assert machine.end is None, tried
    drive(machine, result("progress"), result("progress", offset=10))
    drive(machine, result("new_session", failure=BUSY))
    assert machine.end is None
    for _ in range(5):
        drive(machine, result("progress"), result("progress"), result("new_session", failure=BUSY))
    end = end_of(machine)
    assert end.error == BUSY


def test_the_fifth_attempt_without_progress_is_the_last() -> None:
    """Each costs the mailbox a session."""
    machine = begun(job(), NOW)
    sessions = 0
    while machine.end is None:
        drive(machine, result("progress"), result("new_session", failure=BUSY))
        sessions += 1
        if machine.end is None:
            drive(machine, result("progress"))
    assert sessions == 5


def test_the_backoff_starts_anew_when_the_session_gets_further() -> None:
    """Even if the transfer does not: an earlier session had more bytes."""
    machine = begun(job(), NOW)
    drive(machine, result("progress"), result("progress", offset=9_000), result("new_session"))
    drive(machine, result("progress"), result("progress"))
    drive(machine, *[result("retry", failure=BUSY)] * 3)
    assert machine.pause is not None
    assert machine.pause.tries == 2
    drive(machine, result("retry", offset=1_000, failure=BUSY))
    assert machine.pause.tries == 0


def test_ranges_that_are_accepted_without_progress_are_slowed_down() -> None:
    """A session that accepts a range and stays where it is would be sent it for ever."""
    machine = begun(job(), NOW)
    drive(machine, result("progress"))
    tries = []
    for offset in (1_000, 1_000, 1_000, 1_000, 2_000):
        drive(machine, result("progress", offset=offset))
        tries.append(machine.pause.tries if machine.pause else None)
    assert tries == [None, 0, 1, 2, None]


@pytest.mark.parametrize(("seconds", "code"), [(119, "OutcomeUnknown"), (120, "DeadlineExceeded")])
def test_a_search_that_the_deadline_cuts_short_proves_nothing(seconds: int, code: str) -> None:
    """Outlook may still commit until RECONCILE_SECONDS are over; after that it has not."""
    machine = begun(job(5), NOW)
    late = NOW + timedelta(seconds=3_600)
    machine.apply(result("reconcile"), late - timedelta(seconds=seconds))
    machine.apply(result("not_attached", failure=BUSY), late)
    assert machine.end is None
    machine.apply(result("not_attached"), late)
    error = end_of(machine).error
    assert error is not None
    assert error.code == code


def test_a_refusal_with_bounded_tries_ends_with_its_own_error() -> None:
    """A draft just created may be missing a few times."""
    machine = begun(job(), NOW)
    missing = result("retry", tries=4, failure=Failure(code="ItemNotFound", message="?"))
    drive(machine, missing, missing, missing)
    assert machine.end is None
    drive(machine, missing)
    end = end_of(machine)
    assert end.error == missing.failure


def test_other_retries_do_not_count_against_a_bounded_refusal() -> None:
    """After any number of busy answers, one 404 is still the first 404."""
    machine = begun(job(), NOW)
    drive(machine, *[result("retry", failure=BUSY)] * 9)
    missing = Failure(code="ItemNotFound", message="?")
    drive(machine, result("retry", tries=4, failure=missing))
    assert machine.end is None


def test_a_changed_blob_starts_over_with_its_new_etag() -> None:
    """The old session is deleted first."""
    machine = begun(job(), NOW)
    stages = drive(machine, result("progress"), result("start_over", etag="e2"), result("progress"))
    assert stages == ["CREATE", "UPLOAD", "CLOSE"]
    assert (machine.stage, machine.job.etag) == (Stage.CREATE, "e2")


def test_a_session_that_cannot_be_deleted_delays_nothing() -> None:
    """After a few tries the transfer goes on: the session will expire."""
    machine = begun(job(), NOW)
    drive(machine, result("progress"), result("new_session"))
    drive(machine, *[result("retry", tries=4)] * 4)
    assert machine.stage is Stage.CREATE
    assert machine.end is None


@pytest.mark.parametrize("state", ["failed", "superseded"])
def test_an_activity_can_end_the_transfer(state: Outcome) -> None:
    """The activity's own reason is the transfer's."""
    machine = begun(job(), NOW)
    drive(machine, result(state, failure=BUSY))
    end = end_of(machine)
    assert (end.state, end.error) == (state, BUSY)


def test_the_deadline_ends_it_with_the_last_trouble() -> None:
    """An outage may be longer than that."""
    machine = begun(job(), NOW)
    drive(machine, result("retry", retry_after=4000, failure=BUSY))
    end = end_of(machine)
    assert end.error is not None
    assert end.error.code == "DeadlineExceeded"
    assert "busy" in end.error.message


def test_the_deadline_during_a_search_leaves_the_outcome_unknown() -> None:
    """It is neither claimed that the file is attached nor that it is not."""
    machine = begun(job(5), NOW)
    drive(machine, result("reconcile"))
    machine.apply(result("retry", failure=BUSY), NOW + timedelta(hours=2))
    assert machine.end is None, "there is one last look"
    machine.apply(result("retry", failure=BUSY), NOW + timedelta(hours=2))
    end = end_of(machine)
    assert end.error is not None
    assert end.error.code == "OutcomeUnknown"


@given(st.integers(0, 5_000_000), st.lists(st.integers(0, 99), min_size=300, max_size=300))
def test_any_outcomes_end_in_time(size: int, choices: list[int]) -> None:
    """Every path through the table ends by the deadline."""
    machine = begun(job(size), NOW)
    now = NOW
    for choice in choices:
        possible = [each for each in OUTCOMES if is_possible(machine.state, each)]
        outcome = possible[choice % len(possible)]
        now += timedelta(seconds=30)
        machine.apply(result(outcome, offset=min(size, choice)), now)
        if machine.end is not None:
            break
        assert machine.work() is not None
    end_of(machine)
    # The work that meets the deadline, the deletion of the session and the search take 30 s each.
    assert now - NOW <= timedelta(seconds=3600 + 3 * 30)


def test_waiting_for_the_mailbox_has_a_deadline_of_its_own() -> None:
    """QUEUE_DEADLINE_HOURS; the transfer's own deadline begins with its first locks."""
    machine = StateMachine(job(), NOW)
    machine.waited(NOW + timedelta(seconds=7_199))
    assert machine.end is None
    machine.waited(NOW + timedelta(seconds=7_200))
    error = end_of(machine).error
    assert error is not None
    assert error.code == "DeadlineExceeded"
    assert "QUEUE_DEADLINE_HOURS" in error.message


def test_each_stage_states_how_much_it_sends() -> None:
    """Base64 and an envelope for a POST; of ranges one activity's at most, or what is left."""
    assert begun(job(30), NOW).sends == 40 + 4_096
    machine = begun(job(3_000_500), NOW)
    assert machine.sends == 4_096
    drive(machine, result("progress"))
    assert machine.sends == 1_000
    drive(machine, result("progress", offset=3_000_000))
    assert machine.sends == 500
    drive(machine, result("reconcile", offset=3_000_500))
    assert machine.sends == 0


def test_half_a_file_is_not_searched_for_at_the_deadline() -> None:
    """It cannot be attached; what is there is of someone else."""
    machine = begun(job(3_000_500), NOW)
    drive(machine, result("progress"), result("progress", offset=1_000), seconds=10)
    machine.waited(NOW + timedelta(hours=2))
    error = end_of(machine).error
    assert error is not None
    assert error.code == "DeadlineExceeded"


def test_at_the_deadline_no_guess_is_made() -> None:
    """An attachment whose bytes Outlook does not give may be of someone else."""
    machine = begun(job(), NOW)
    drive(machine, result("progress"), result("progress", offset=job().size - 1), seconds=10)
    machine.waited(NOW + timedelta(hours=2))
    drive(machine, result("progress"))
    work = machine.work()
    assert isinstance(work, FindAttachment)
    assert not work.is_last_attempt
