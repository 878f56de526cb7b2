from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.transfer.activity_payloads import (
    SMALL_FILE_BYTES,
    ActivityResult,
    CancelUploadSession,
    FindAttachment,
    Job,
    Outcome,
    UploadRanges,
)
from shared.transfer.payloads import Failure
from shared.transfer.workflow.backoff import Pause
from shared.transfer.workflow.stages import End, Event, Stage, State
from shared.transfer.workflow.state_machine import StateMachine
from shared.transfer.workflow.transitions import TRANSITIONS
from tests.support.jobs import BUSY, LARGE, STORE_AWAY, job, result

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
# Those of activities that got their lock.
OUTCOMES: list[Outcome] = [each for each in get_args(Outcome) if each != "locked"]


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


def is_possible(state: State, outcome: Outcome) -> bool:
    """Whether a state's activity can have this outcome; any activity can say that it is busy."""
    return outcome == "retry" or (outcome != "recorded" and Event(outcome) in TRANSITIONS[state])


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


def test_an_unknown_outcome_deletes_the_session_before_it_searches() -> None:
    """A session that lives could commit after the search."""
    machine = begun(job(), NOW)
    stages = drive(machine, result("progress"), result("reconcile"))
    assert isinstance(machine.work(), CancelUploadSession)
    stages += drive(machine, result("progress"), result("not_attached"))
    assert stages == ["CREATE", "UPLOAD", "CLOSE", "SEARCH"]
    assert machine.stage is Stage.SEARCH
    assert machine.pause is not None


def test_outlook_may_commit_late() -> None:
    """The search is repeated for RECONCILE_SECONDS, then the file is sent from byte 0 again."""
    machine = begun(job(), NOW)
    drive(machine, result("progress"), result("progress", offset=9), result("reconcile"))
    drive(machine, result("progress"))
    machine.apply(result("not_attached"), NOW + timedelta(seconds=100))
    assert machine.stage is Stage.SEARCH
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
        "SEARCH",
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
    assert machine.end is None, "there is one last search"
    machine.apply(result("retry", failure=BUSY), NOW + timedelta(hours=2))
    end = end_of(machine)
    assert end.error is not None
    assert end.error.code == "OutcomeUnknown"


def test_the_search_at_the_deadline_does_not_wait() -> None:
    """For the next search, as it would have before."""
    machine = begun(job(5), NOW)
    drive(machine, result("reconcile"), result("retry"))
    assert pause_of(machine).tries == 0
    machine.apply(result("retry"), NOW + timedelta(hours=1))
    assert (machine.state, machine.pause) == (State.SEARCHING_LATE, None)


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


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def pause_of(machine: StateMachine) -> Pause:
    """The pause before the next work."""
    assert machine.pause is not None
    return machine.pause


def test_a_wait_for_locks_lasts_to_the_deadline() -> None:
    """That of the queue at first, that of the transfer from the first locks on."""
    machine = StateMachine(job(), NOW)
    assert machine.patience(after(200)) == 7_000
    machine.begin(after(1_000))
    assert machine.patience(after(1_000)) == 3_600
    assert machine.patience(after(4_599.5)) == 0.5
    machine.begin(after(2_000))
    assert machine.patience(after(2_000)) == 2_600
    assert machine.patience(after(9_999)) == 0


@pytest.mark.parametrize(("seconds", "over"), [(29.0, False), (30.0, True)])
def test_a_late_search_waits_half_a_minute_for_its_locks(seconds: float, *, over: bool) -> None:
    """Then nobody can know what became of the file."""
    machine = begun(job(5), NOW)
    machine.apply(result("reconcile", failure=BUSY), NOW)
    machine.waited(after(3_600))
    assert machine.state is State.SEARCHING_LATE or machine.state is State.SEARCHING_CUT_SHORT
    assert machine.patience(after(3_600)) == 30
    machine.waited(after(3_600 + seconds))
    assert (machine.end is not None) is over
    if over:
        error = end_of(machine).error
        assert error is not None
        assert error.code == "OutcomeUnknown"
        assert "busy" in error.message


def begin_at(machine: StateMachine, seconds: float, waited: float = 0.0) -> tuple[float, bool]:
    """What the job of the next work says of the waits, and of the deadline."""
    machine.begin(after(seconds))
    machine.measure(after(seconds), waited)
    return machine.job.waited_seconds, machine.job.near_deadline


def test_the_job_says_once_that_the_deadline_is_near() -> None:
    """In the last fifth of the time, and how long the locks took each time."""
    machine = begun(job(), NOW)
    assert begin_at(machine, 2_879.9, waited=3.0) == (3.0, False)
    assert begin_at(machine, 2_880, waited=1.5) == (1.5, True)
    assert begin_at(machine, 2_881) == (0.0, False)


def test_a_deletion_does_not_say_that_the_deadline_is_near() -> None:
    """Its input is not the job: the work after it says so."""
    machine = begun(job(), NOW)
    drive(machine, result("progress"), result("new_session"))
    assert begin_at(machine, 2_900) == (0.0, False)
    drive(machine, result("progress"))
    assert begin_at(machine, 2_901) == (0.0, True)


def test_a_post_that_storage_prevented_keeps_its_number() -> None:
    """The notes of an earlier delivery of the same attempt may be what could not be read."""
    machine = begun(job(5), NOW)
    drive(machine, result("retry", failure=STORE_AWAY, storage_failed=True))
    assert (machine.job.attempt, machine.state) == (1, State.POSTING_IN_DOUBT)
    drive(machine, result("retry", failure=BUSY))
    assert (machine.job.attempt, machine.state) == (2, State.POSTING)


@pytest.mark.parametrize(
    ("results", "noted"),
    [
        ([result("retry", failure=STORE_AWAY, storage_failed=True)], False),
        ([result("reconcile"), result("not_attached")], True),
        ([result("session_instead"), result("progress"), result("reconcile")], True),
        ([result("session_instead"), result("progress"), result("retry")], True),
    ],
)
def test_a_search_knows_if_there_must_be_notes(
    results: list[ActivityResult], *, noted: bool
) -> None:
    """Without notes nothing was sent, unless they are known to have been there."""
    machine = begun(job(5), NOW)
    drive(machine, *results)
    machine.cancel(NOW)
    if machine.stage is Stage.CLOSE:
        drive(machine, result("progress"))
    assert isinstance(work := machine.work(), FindAttachment)
    assert work.noted is noted


@pytest.mark.parametrize("size", [5, LARGE])
def test_a_transfer_is_cancelled_at_once_if_nothing_can_be_attached(size: int) -> None:
    """Before its first locks and after them."""
    for machine in (StateMachine(job(size), NOW), begun(job(size), NOW)):
        machine.cancel(NOW)
        assert end_of(machine) == End("cancelled", 0)


def test_a_cancelled_upload_says_how_many_bytes_were_sent() -> None:
    """Outlook has them until the session is deleted. A pause ends with it."""
    machine = begun(job(), NOW)
    drive(machine, result("progress"), result("retry", offset=1_000, retry_after=9.0))
    machine.cancel(NOW)
    assert end_of(machine) == End("cancelled", 1_000)
    assert machine.pause is None


def test_a_cancelled_upload_that_may_be_attached_is_searched_for() -> None:
    """For RECONCILE_SECONDS after the cancellation; its session is deleted first."""
    machine = begun(job(), NOW)
    drive(machine, result("progress"), result("progress", offset=LARGE - 1_000))
    drive(machine, result("retry", offset=LARGE - 1_000, failure=BUSY))
    machine.cancel(after(10))
    machine.cancel(after(11))
    assert (machine.stage, machine.job.unsure) == (Stage.CLOSE, True)
    machine.apply(result("progress"), after(12))
    machine.apply(result("not_attached"), after(129.5))
    assert (machine.state, pause_of(machine).at_most) == (State.SEARCHING_CANCELLED, 0.5)
    machine.apply(result("not_attached"), after(130))
    assert (machine.state, machine.pause) == (State.LAST_SEARCH_CANCELLED, None)
    machine.apply(result("not_attached"), after(130))
    assert end_of(machine) == End("cancelled", 0)


def test_a_session_that_is_gone_is_deleted_before_a_cancelled_transfer_ends() -> None:
    """Without a search: nothing of it is attached."""
    machine = begun(job(), NOW)
    drive(machine, result("progress"), result("new_session"))
    machine.cancel(NOW)
    drive(machine, result("retry", tries=2), result("retry", tries=2))
    assert end_of(machine) == End("cancelled", 0)


GONE = Failure(code="BlobDeleted", message="gone")


@pytest.mark.parametrize("outcome", ["failed", "superseded"])
def test_a_search_that_finds_nothing_ends_as_the_upload_would_have(outcome: Any) -> None:
    """The blob was gone or replaced, and it was only unknown if the file was attached before."""
    machine = begun(job(), NOW)
    otherwise = result(outcome, failure=GONE)
    drive(machine, result("progress"), result("progress", offset=9_000))
    drive(machine, result("reconcile", offset=9_000, failure=BUSY, otherwise=otherwise))
    drive(machine, result("progress"), result("retry", failure=STORE_AWAY, storage_failed=True))
    drive(machine, *[result("not_attached")] * 2, seconds=121)
    assert end_of(machine) == End(outcome, 0, error=GONE)


def test_a_search_that_finds_nothing_starts_over_with_the_new_etag() -> None:
    """The blob may have other content; the search itself was for what the old one had."""
    machine = begun(job(), NOW)
    otherwise = result("start_over", etag="e2")
    drive(machine, result("progress"), result("reconcile", otherwise=otherwise))
    drive(machine, result("progress"))
    assert machine.job.etag == "e1"
    drive(machine, *[result("not_attached")] * 2, seconds=130)
    assert (machine.state, machine.job.etag, machine.job.attempt) == (State.CREATING, "e2", 2)
    assert pause_of(machine).tries == 3


def test_attachments_that_cannot_be_read_are_searched_a_few_times_more() -> None:
    """Four times after the search's own time; then the last search decides without the bytes."""
    machine = begun(job(5), NOW)
    machine.apply(result("reconcile"), NOW)
    machine.apply(result("not_attached", failure=BUSY), after(119))
    assert pause_of(machine).at_most == 1
    tries = []
    while machine.state is State.SEARCHING_FOR_POST:
        machine.apply(result("not_attached", failure=BUSY), after(120))
        tries.append(machine.pause.tries if machine.pause else None)
    assert tries == [1, 2, 3, 4, None]
    machine.apply(result("not_attached", failure=BUSY), after(120))
    assert machine.state is State.POSTING


def test_the_last_attempt_ends_after_its_search() -> None:
    """By the reason of the last trouble, with the bytes that were sent."""
    machine = begun(job(5), NOW)
    now = 0.0
    for attempt in range(1, 6):
        assert machine.job.attempt == attempt
        machine.apply(result("reconcile", failure=BUSY), after(now))
        now += 120
        for _ in range(2):
            machine.apply(result("not_attached"), after(now))
    assert end_of(machine) == End("failed", 0, error=BUSY)


def after_failed_posts() -> StateMachine:
    """A small file whose POSTs failed five times, and are known to have attached nothing."""
    machine = begun(job(5).model_copy(update={"session_at_last": True}), NOW)
    for attempt in range(5):
        machine.apply(result("reconcile", failure=BUSY), after(attempt * 240.0))
        for _ in range(2):
            machine.apply(result("not_attached"), after(attempt * 240.0 + 120))
    return machine


def test_a_post_that_always_fails_ends_with_a_session() -> None:
    """Once: it may be too large for one request. The end names what both met."""
    machine = after_failed_posts()
    assert (machine.state, machine.job.attempt) == (State.CREATING, 6)
    machine.apply(result("post_instead", failure=STORE_AWAY), after(1_300))
    error = end_of(machine).error
    assert error is not None
    assert error.code == BUSY.code
    assert BUSY.message in error.message
    assert STORE_AWAY.message in error.message


def test_a_search_after_the_session_names_each_failure_once() -> None:
    """The clean-up met the row of another run: the end is the same if the search finds nothing."""
    machine = after_failed_posts()
    machine.apply(result("post_instead", failure=STORE_AWAY), after(1_300))
    end = end_of(machine)
    machine.search_after_all(after(1_300))
    for _ in range(2):
        machine.apply(result("not_attached"), after(1_500))
    assert end_of(machine).error == end.error


def test_a_session_at_last_may_attach() -> None:
    """Its own unknown outcome ends the transfer after a search; there is no third way."""
    machine = after_failed_posts()
    machine.apply(result("progress"), after(1_300))
    machine.apply(result("reconcile", failure=STORE_AWAY), after(1_300))
    machine.apply(result("progress"), after(1_300))
    for seconds in (1_500, 1_500):
        machine.apply(result("not_attached"), after(seconds))
    assert end_of(machine).state == "failed"


@pytest.mark.parametrize("found", ["not_attached", "failed"])
def test_a_published_refusal_is_final_after_one_look(found: Outcome) -> None:
    """Without a wait; a search that is refused, too, does not make the outcome unknown."""
    for size in (5, LARGE):
        machine = begun(job(size), NOW)
        if size == LARGE:
            machine.apply(result("progress"), NOW)
        end = result("failed", failure=BUSY)
        machine.apply(result("reconcile", otherwise=end, look_once=True, failure=BUSY), NOW)
        while machine.end is None:
            outcome = "progress" if machine.stage is Stage.CLOSE else found
            machine.apply(result(outcome, failure=STORE_AWAY if found == "failed" else None), NOW)
        assert end_of(machine) == End("failed", 0, error=BUSY)


def test_a_refused_post_that_may_have_attached_makes_the_next_one_look() -> None:
    """The list before it shows the attachment."""
    machine = begun(job(5), NOW)
    machine.apply(result("retry", may_be_attached=True), NOW)
    assert (machine.stage, machine.job.unsure, machine.job.attempt) == (Stage.POST, True, 2)


def test_a_query_without_an_answer_is_repeated_a_few_times() -> None:
    """Then what the run would do without one follows, not the end."""
    machine = begun(job(LARGE), NOW)
    machine.apply(result("progress"), NOW)
    gone = result("new_session", failure=BUSY)
    for state in (State.UPLOADING, State.UPLOADING, State.CLOSING_TO_RESTART):
        machine.apply(result("retry", tries=3, otherwise=gone, failure=BUSY), NOW)
        assert machine.state is state


def test_a_search_that_is_refused_leaves_the_outcome_unknown() -> None:
    """For good, or as often as it is worth a repetition."""
    for last in (result("failed", failure=BUSY), result("retry", tries=1, failure=BUSY)):
        machine = begun(job(5), NOW)
        drive(machine, result("reconcile"), last)
        error = end_of(machine).error
        assert error is not None
        assert error.code == "OutcomeUnknown"


@pytest.mark.parametrize(
    ("seconds", "ends"), [(3_589.0, False), (3_590.0, True)], ids=["before", "at the deadline"]
)
def test_a_retry_after_up_to_the_deadline_ends_the_transfer(seconds: float, *, ends: bool) -> None:
    """No call would be possible any more."""
    machine = begun(job(), NOW)
    machine.apply(result("retry", retry_after=seconds, failure=BUSY), after(10))
    assert (machine.end is not None) is ends
    if not ends:
        assert machine.pause == Pause(0, seconds, 3_590.0)


def test_a_pause_ends_at_the_deadline() -> None:
    """A backoff must not last longer."""
    machine = begun(job(), NOW)
    machine.apply(result("retry", failure=BUSY), after(3_599.5))
    assert machine.pause == Pause(0, 0.0, 0.5)


def test_a_retry_after_holds_for_the_next_work_of_any_kind() -> None:
    """Even after a result that needs no pause; a backoff of its own counts as well."""
    machine = begun(job(), NOW)
    machine.apply(result("progress", retry_after=7.0), NOW)
    assert (pause_of(machine).tries, pause_of(machine).retry_after) == (0, 7.0)
    machine.apply(result("new_session", retry_after=8.0), NOW)
    assert (pause_of(machine).tries, pause_of(machine).retry_after) == (3, 8.0)


def test_each_attempt_waits_longer_than_the_one_before() -> None:
    """And longer than a repetition: the service itself may be in trouble."""
    machine = begun(job(), NOW)
    tries = []
    for _ in range(4):
        drive(machine, result("progress"), result("new_session"))
        tries.append(pause_of(machine).tries)
        drive(machine, result("progress"))
    assert tries == [3, 4, 5, 6]


def test_another_stage_starts_the_backoff_again() -> None:
    """As progress does; a repetition lets it grow."""
    machine = begun(job(), NOW)
    drive(machine, *[result("retry")] * 3)
    assert pause_of(machine).tries == 2
    drive(machine, result("progress"), result("retry"))
    assert pause_of(machine).tries == 0
    drive(machine, result("retry"))
    assert pause_of(machine).tries == 1
    drive(machine, result("progress", offset=1_000), result("retry", offset=1_000))
    assert pause_of(machine).tries == 0


@pytest.mark.parametrize("offset", [LARGE - 1_001, LARGE - 1_000])
def test_a_whole_session_is_searched_for_at_the_deadline(offset: int) -> None:
    """Once, if the next activity could have sent the last byte."""
    machine = begun(job(), NOW)
    drive(machine, result("progress"), result("progress", offset=offset))
    machine.waited(after(3_600))
    if offset < LARGE - 1_000:
        error = end_of(machine).error
        assert error is not None
        assert error.code == "DeadlineExceeded"
        return
    assert (machine.state, machine.job.unsure) == (State.CLOSING_LATE, True)
    machine.apply(result("retry"), after(3_601))
    assert (machine.state, machine.pause) == (State.SEARCHING_LATE, None)
    machine.apply(result("attached", attachment_id="A"), after(3_602))
    assert end_of(machine) == End("attached", LARGE, "A")


def test_an_attempt_after_an_unknown_outcome_is_searched_for_at_the_deadline() -> None:
    """Outlook may have committed the earlier one late, even if this one has no byte yet."""
    machine = begun(job(), NOW)
    drive(machine, result("progress"), result("reconcile"), result("progress"))
    drive(machine, *[result("not_attached")] * 2, seconds=130)
    drive(machine, result("progress"))
    machine.waited(after(3_600))
    assert machine.state is State.CLOSING_LATE


def test_a_throttled_deletion_at_the_deadline_leaves_the_outcome_unknown() -> None:
    """The search would have to wait."""
    machine = begun(job(), NOW)
    drive(machine, result("progress"), result("progress", offset=LARGE - 1_000))
    machine.waited(after(3_600))
    machine.apply(result("retry", retry_after=1.0), after(3_601))
    error = end_of(machine).error
    assert error is not None
    assert error.code == "OutcomeUnknown"


def test_an_end_without_a_reason_has_a_sentence() -> None:
    """Outlook gave none."""
    machine = begun(job(), NOW)
    drive(machine, result("retry", tries=1))
    error = end_of(machine).error
    assert error is not None
    assert "did not accept the file" in error.message


def test_progress_gives_five_attempts_again() -> None:
    """The attempt that progressed is the first of them."""
    machine = begun(job(), NOW)
    drive(machine, result("progress"), result("new_session"), result("progress"))
    drive(machine, result("progress"), result("progress", offset=1_000))
    sessions = 0
    while machine.end is None:
        drive(machine, result("new_session", failure=BUSY))
        sessions += 1
        if machine.end is None:
            drive(machine, result("progress"), result("progress"))
    assert sessions == 5


def test_each_refusal_is_counted_by_its_code() -> None:
    """Two kinds of refusals do not add up."""
    machine = begun(job(), NOW)
    first, second = (
        result("retry", tries=2, failure=Failure(code=code, message="?")) for code in "AB"
    )
    drive(machine, first, second)
    assert machine.end is None
    drive(machine, second)
    assert end_of(machine).error == second.failure


@pytest.mark.parametrize("size", [5, LARGE])
def test_the_second_refusal_of_a_size_is_final(size: int) -> None:
    """If it started with a request, or with a session."""
    machine = begun(job(size), NOW)
    ways = [result("session_instead", failure=BUSY), result("post_instead", failure=BUSY)]
    drive(machine, *(ways if size == 5 else reversed(ways)))
    assert end_of(machine) == End("failed", 0, error=BUSY)


def test_an_attached_or_cancelled_file_has_no_error() -> None:
    """Even after some trouble."""
    for last in (result("attached", attachment_id="A"), None):
        machine = begun(job(5), NOW)
        drive(machine, result("retry", failure=BUSY))
        if last:
            drive(machine, last)
        machine.cancel(NOW)
        assert end_of(machine).error is None


def test_the_end_of_the_queue_names_the_mailbox() -> None:
    """Its administrator has to know which one is busy."""
    machine = StateMachine(job(), NOW)
    machine.waited(after(7_200))
    error = end_of(machine).error
    assert error is not None
    assert "a@contoso.com" in error.message
