"""The table of transitions: complete, and safe wherever it is unknown what is attached."""

from collections import Counter
from collections.abc import Set
from itertools import product

import pytest

from shared.transfer.workflow.stages import (
    LAST_SEARCHES,
    LATE,
    SEARCHES,
    Ending,
    Event,
    Stage,
    State,
)
from shared.transfer.workflow.transitions import TRANSITIONS
from tests.support.figures import ReportLine

QUEUED = {State.QUEUED_TO_POST, State.QUEUED_TO_CREATE}
IN_DOUBT = {State.POSTING_IN_DOUBT, State.CREATING_IN_DOUBT, State.UPLOADING_IN_DOUBT}
# A special case counts as the general one in a state that does not list it.
GENERAL = {
    Event.RETRY_IN_DOUBT: {Event.RETRY},
    Event.SEARCH_REFUSED: {Event.FAILED},
    Event.SESSION_AT_LAST: {Event.NEW_SESSION, Event.START_OVER, Event.NOT_ATTACHED},
    Event.ATTEMPTS_SPENT: {Event.NEW_SESSION, Event.START_OVER, Event.NOT_ATTACHED},
    Event.FAILED_ANYWAY: {Event.NOT_ATTACHED},
    Event.SUPERSEDED_ANYWAY: {Event.NOT_ATTACHED},
    Event.DEADLINE_IN_DOUBT: {Event.DEADLINE},
    Event.DEADLINE_CUTS_SHORT: {Event.DEADLINE},
}


def of(*stages: Stage) -> set[State]:
    return {state for state in State if state.stage in stages} - QUEUED


# Why a state never meets an event.
IMPOSSIBLE: list[tuple[str, Set[State], Set[Event]]] = [
    (
        "no activity runs before the first locks are acquired",
        QUEUED,
        set(Event) - {Event.BEGIN, Event.CANCEL, Event.DEADLINE},
    ),
    ("the first locks are acquired once", set(State) - QUEUED, {Event.BEGIN}),
    (
        "only a search finds nothing",
        of(Stage.POST, Stage.CREATE, Stage.UPLOAD, Stage.CLOSE),
        {Event.NOT_ATTACHED, Event.NOT_YET, Event.FAILED_ANYWAY, Event.SUPERSEDED_ANYWAY},
    ),
    (
        "only a request or a session can be too large or too small",
        of(Stage.UPLOAD, Stage.CLOSE, Stage.SEARCH),
        {Event.SESSION_INSTEAD, Event.POST_INSTEAD, Event.BOTH_REFUSED},
    ),
    ("a request is never too small", of(Stage.POST), {Event.POST_INSTEAD}),
    ("a session is never too large for one request", of(Stage.CREATE), {Event.SESSION_INSTEAD}),
    (
        "the POST before it was too large",
        {State.CREATING_IN_DOUBT},
        {Event.POST_INSTEAD},
    ),
    ("a request is done when the file is attached", of(Stage.POST), {Event.PROGRESS}),
    ("a search finds the file or does not", of(Stage.SEARCH), {Event.PROGRESS}),
    ("only ranges need the session", set(State) - of(Stage.UPLOAD), {Event.NEW_SESSION}),
    (
        "no byte of the blob is sent",
        of(Stage.CREATE, Stage.CLOSE, Stage.SEARCH),
        {Event.START_OVER},
    ),
    (
        "it needs no attempt",
        of(Stage.CREATE, Stage.CLOSE),
        {Event.ATTEMPTS_SPENT, Event.SESSION_AT_LAST},
    ),
    (
        "a deletion attaches nothing, and is repeated where its outcome is unknown",
        of(Stage.CLOSE),
        {Event.ATTACHED, Event.RECONCILE},
    ),
    ("a search is repeated where its outcome is unknown", of(Stage.SEARCH), {Event.RECONCILE}),
    (
        "a deletion does not depend on what the blob has now, or on a later run",
        of(Stage.CLOSE),
        {Event.SUPERSEDED},
    ),
    ("nothing is repeated after the deadline", LATE, {Event.RETRY, Event.RETRY_IN_DOUBT}),
]


def reasons(state: State, event: Event) -> list[str]:
    return [reason for reason, states, events in IMPOSSIBLE if state in states and event in events]


def is_known(state: State, event: Event) -> bool:
    """Whether the table has the event, or the general one that it is a case of."""
    return not TRANSITIONS[state].keys().isdisjoint({event} | GENERAL.get(event, set()))


@pytest.mark.parametrize("state", State, ids=lambda state: str(state.name))
def test_every_event_is_in_the_table_or_impossible(state: State) -> None:
    """Each pair is the one or the other, and says why."""
    for event in Event:
        assert event not in TRANSITIONS[state] or not reasons(state, event), event
        assert is_known(state, event) or reasons(state, event), event


def test_every_reason_is_needed(report_line: ReportLine) -> None:
    """None is about pairs that other reasons explain already."""
    kinds: Counter[str] = Counter()
    alone = set()
    for state, event in product(State, Event):
        why = reasons(state, event)
        if len(why) == 1 and not is_known(state, event):
            alone.add(why[0])
        special = "as a more general event" if is_known(state, event) else "impossible"
        kinds["in the table" if event in TRANSITIONS[state] else special] += 1
    parts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    report_line(f"state machine: {len(State)} states, {len(Event)} events: {parts}")
    assert alone == {reason for reason, _, _ in IMPOSSIBLE}


def test_every_state_and_end_is_reached() -> None:
    """By some row; a transfer begins in one of the queued states."""
    targets = {target for row in TRANSITIONS.values() for target in row.values()}
    assert targets == (set(State) | set(Ending)) - QUEUED


def test_what_may_be_attached_is_never_said_not_to_be() -> None:
    """A transfer ends as cancelled or too late only after a last search that found nothing."""
    for state in IN_DOUBT | SEARCHES:
        for event, target in TRANSITIONS[state].items():
            if target in {Ending.CANCELLED, Ending.TOO_LATE}:
                assert (state in LAST_SEARCHES | LATE, event) == (True, Event.NOT_ATTACHED)


def test_what_may_be_attached_is_never_sent_again() -> None:
    """But after a last search that found nothing."""
    for state in SEARCHES:
        for event, target in TRANSITIONS[state].items():
            if target in set(State) - SEARCHES:
                assert state in LAST_SEARCHES
                assert event in {Event.NOT_ATTACHED, Event.SESSION_AT_LAST}


def test_after_the_deadline_nothing_is_sent() -> None:
    """Only a deletion and one search follow."""
    for state in LATE:
        targets = set(TRANSITIONS[state].values())
        assert targets <= LATE | set(Ending), state


def test_after_a_cancellation_nothing_is_sent() -> None:
    """From any state, every path leads to an end."""
    reached = {row[Event.CANCEL] for row in TRANSITIONS.values()}
    while True:
        next_ = {t for s in reached if isinstance(s, State) for t in TRANSITIONS[s].values()}
        if next_ <= reached:
            break
        reached |= next_
    stages = {each.stage for each in reached if isinstance(each, State)}
    assert stages == {Stage.CLOSE, Stage.SEARCH}
