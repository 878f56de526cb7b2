"""A range whose outcome is unknown is not sent again before the session was queried."""

import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from infra.local.outlook import Fault, Misbehaviour, RecordedRequest, Rules, catalogue
from shared.outlook.graph_response import GraphResponse
from tests.support.in_memory.app import InMemoryApp
from tests.support.in_memory.steps import RANGE, Steps

# A POST is refused, so that the file goes by a session.
RULES = Rules(minimum_session_bytes=1, maximum_post_bytes=2_000)
CONTENT = random.Random("content").randbytes(5 * RANGE + 1)
RANGES = {"range", "last_range"}
_NUMBERS = count()

LOST = [
    catalogue.lost_answer(),
    catalogue.truncated_json(),
    *(catalogue.failed_after_acceptance(status) for status in (500, 502, 503, 504, 408, 520, 429)),
    *(catalogue.refused(status) for status in (500, 503, 408, 418, 409)),
    catalogue.throttled("7", status=503),
]
UNANSWERED = [
    catalogue.lost_answer(),
    catalogue.not_json(),
    catalogue.next_ranges_missing(),
    *(catalogue.refused(status) for status in (500, 502, 503, 504, 408, 429, 520)),
    catalogue.throttled("30", status=503),
]


def app_with(ranges_per_activity: int) -> InMemoryApp:
    return InMemoryApp(
        rules=RULES, range_bytes=RANGE, ranges_per_activity=ranges_per_activity, reconcile_seconds=3
    )


def run(app: InMemoryApp, *faults: Fault) -> list[RecordedRequest]:
    """Run a transfer with these faults, which attaches once; its requests to the session."""
    with app.service.lock:
        app.service.recorder.clear()
        app.service.faults.clear()
        app.service.faults.add(*faults)
    steps = Steps(app, next(_NUMBERS), CONTENT)
    assert steps.run().state == "attached"
    (attachment,) = app.attachments(steps.item)
    assert attachment.content == CONTENT
    return [
        each for each in app.service.recorder.requests if each.kind in {*RANGES, "session_state"}
    ]


def sent_blindly(requests: Iterable[RecordedRequest]) -> list[RecordedRequest]:
    """Ranges that were sent after one with a fault, before the session said where it is."""
    unknown: set[str] = set()
    found = []
    for each in requests:
        if each.kind == "session_state" and each.fault is None:
            unknown.discard(each.target)
        elif each.kind in RANGES:
            found += [each] if each.target in unknown else []
            unknown |= {each.target} if each.fault else set()
    return found


@pytest.mark.parametrize("lost", LOST, ids=lambda each: str(each.name))
@pytest.mark.parametrize("ranges_per_activity", [1, 3])
def test_a_lost_range_is_queried(lost: Misbehaviour, ranges_per_activity: int) -> None:
    """Also if the query fails once, twice, in any way, and by the next activity."""
    app = app_with(ranges_per_activity)
    for number, unanswered in enumerate(UNANSWERED):
        requests = run(
            app,
            Fault(misbehaviour=lost, kind="range", occurrence=2),
            Fault(misbehaviour=unanswered, kind="session_state", times=1 + number % 2),
        )
        assert sent_blindly(requests) == [], unanswered.name
        assert any(each.kind == "session_state" for each in requests)


@pytest.mark.parametrize("unanswered", UNANSWERED, ids=lambda each: str(each.name))
def test_a_query_that_is_never_answered_ends_in_a_new_session(unanswered: Misbehaviour) -> None:
    """After a few tries."""
    requests = run(
        app_with(2),
        Fault(misbehaviour=catalogue.lost_answer(), kind="range", occurrence=2),
        Fault(misbehaviour=unanswered, kind="session_state", times=None),
    )
    assert len({each.target for each in requests if each.kind in RANGES}) == 2
    assert sum(each.kind == "session_state" for each in requests) <= 3


class WorkerKilled(BaseException):
    """The end of a worker in the middle of an activity."""


def killed_after(
    app: InMemoryApp, puts: int, activity: Callable[..., Any]
) -> Callable[..., dict[str, Any]]:
    """The activity, whose first delivery is killed after so many ranges, each time."""
    put_range = app.graph.put_range

    def delivered_twice(payload: dict[str, Any]) -> dict[str, Any]:
        left = iter(range(puts))

        def put(*arguments: Any) -> GraphResponse:
            response = put_range(*arguments)
            if next(left, None) is None:
                raise WorkerKilled
            return response

        app.graph.put_range = put  # type: ignore[method-assign, assignment]
        with suppress(WorkerKilled):
            activity(payload)
        app.graph.put_range = put_range  # type: ignore[method-assign]
        result: dict[str, Any] = activity(payload)
        return result

    return delivered_twice


@pytest.mark.parametrize("puts", [0, 1, 2])
def test_after_a_killed_worker_the_session_is_queried_first(puts: int) -> None:
    """Once an activity. No range is sent again to a session that says where it is."""
    app = app_with(3)
    app.wrap("upload_ranges", lambda activity: killed_after(app, puts, activity))
    requests = run(app)
    queries = [each for each in requests if each.kind == "session_state"]
    assert 1 <= len(queries) <= 2
    taken = [each.range for each in requests if each.kind == "range" and each.status != 404]
    assert len(taken) == len(set(taken))


def test_without_a_fault_nothing_is_queried() -> None:
    """In any number of activities."""
    for ranges_per_activity in (1, 2, 6):
        requests = run(app_with(ranges_per_activity))
        assert {each.kind for each in requests} == RANGES
