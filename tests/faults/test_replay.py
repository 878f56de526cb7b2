"""Histories of earlier days replay on the code of today: the same actions, the same end."""

import base64
import copy
import json
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from azure.durable_functions.worker import DurableFunctionsWorker
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.task import OrchestrationContext
from google.protobuf import json_format  # type: ignore[import-untyped]

from shared.transfer.workflow.orchestrator import attach_blob
from tests.faults.record_histories import FOLDER, SCENARIOS
from tests.support.engine.virtual_engine import (
    VERSION,
    Activity,
    VirtualClock,
    VirtualEngine,
    VirtualEntities,
)
from tests.support.figures import Say

HISTORIES = sorted(FOLDER.rglob("*.json"))


def _name(path: Path) -> str:
    return str(path.relative_to(FOLDER).with_suffix(""))


@dataclass(frozen=True)
class Kept:
    """A kept history; ``turns`` are the indices at which the orchestrator was woken."""

    instance_id: str
    output: dict[str, Any]
    events: list[pb.HistoryEvent]

    @classmethod
    def read(cls, path: Path) -> "Kept":
        data = json.loads(path.read_text())
        events = [json_format.ParseDict(each, pb.HistoryEvent()) for each in data["events"]]
        return cls(data["instanceId"], data["output"], events)

    @property
    def version(self) -> str:
        """The version that the instance was started with; empty if with none."""
        (started,) = [each for each in self.events if each.HasField("executionStarted")]
        return str(started.executionStarted.version.value)

    @property
    def turns(self) -> list[int]:
        return [
            n for n, event in enumerate(self.events) if event.WhichOneof("eventType") == STARTED
        ]


STARTED = "orchestratorStarted"
# What the orchestrator's own actions left in the history.
OWN = {"taskScheduled": "scheduleTask", "timerCreated": "createTimer"}


def replay(
    kept: Kept, past: Sequence[pb.HistoryEvent], new: Sequence[pb.HistoryEvent]
) -> list[pb.OrchestratorAction]:
    """What today's orchestrator wants done after these events."""
    request = pb.OrchestratorRequest(instanceId=kept.instance_id, pastEvents=past, newEvents=new)
    text = base64.b64encode(request.SerializeToString()).decode()
    answer = DurableFunctionsWorker().execute_orchestration_request(attach_blob, text)
    return list(pb.OrchestratorResponse.FromString(base64.b64decode(answer)).actions)


def of_event(event: pb.HistoryEvent) -> tuple[int, str, str]:
    kind = str(event.WhichOneof("eventType"))
    what = event.taskScheduled.name if kind == "taskScheduled" else _time(event.timerCreated)
    return event.eventId, OWN[kind], what


def of_action(action: pb.OrchestratorAction) -> tuple[int, str, str]:
    kind = str(action.WhichOneof("orchestratorActionType"))
    what = action.scheduleTask.name if kind == "scheduleTask" else _time(action.createTimer)
    return action.id, kind, what


def _time(timer: Any) -> str:
    return str(timer.fireAt.ToJsonString())


def own_events(events: Sequence[pb.HistoryEvent]) -> list[pb.HistoryEvent]:
    return [event for event in events if event.WhichOneof("eventType") in OWN]


def check_inputs(actions: list[pb.OrchestratorAction], events: list[pb.HistoryEvent]) -> None:
    """Every field that an activity was given then is given now; there may be more of them."""
    for action, event in zip(actions, events, strict=True):
        if action.HasField("scheduleTask"):
            then = json.loads(event.taskScheduled.input.value)
            now = json.loads(action.scheduleTask.input.value)
            assert merged(now, then) == now


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        inner = result.get(key)
        both = isinstance(value, dict) and isinstance(inner, dict)
        result[key] = merged(inner, value) if both and inner is not None else value
    return result


def diverges(kept: Kept) -> str | None:
    """Where today's code leaves the history, if it does."""
    turns = [*kept.turns, len(kept.events)]
    for begin, end in pairwise(turns):
        left = own_events(kept.events[begin:end])
        new = [event for event in kept.events[begin:end] if event not in left]
        actions = replay(kept, kept.events[:begin], new)
        if end < len(kept.events):
            if [of_action(each) for each in actions] != [of_event(each) for each in left]:
                return f"at event {begin}: {actions}"
            check_inputs(actions, left)
        elif (fault := _wrong_end(kept, actions)) is not None:
            return fault
    return None


def _wrong_end(kept: Kept, actions: list[pb.OrchestratorAction]) -> str | None:
    ends = [
        each.completeOrchestration for each in actions if each.HasField("completeOrchestration")
    ]
    if [each.orchestrationStatus for each in ends] != [pb.ORCHESTRATION_STATUS_COMPLETED]:
        return f"at the end: {actions}"
    output = json.loads(ends[0].result.value)
    return None if merged(output, kept.output) == output else f"another output: {output}"


def test_every_scenario_has_its_history(say: Say) -> None:
    """Small, large, reconciled, throttled, cancelled, failed: none is missing or unknown."""
    kept = [Kept.read(path) for path in HISTORIES]
    turns = sum(len(each.turns) for each in kept)
    diverged = sum(diverges(each) is not None for each in kept)
    say(f"figure 8: histories {len(kept)}, turns {turns}, diverged {diverged}")
    assert {path.stem for path in HISTORIES} == {each.name for each in SCENARIOS}


@pytest.mark.parametrize("path", HISTORIES, ids=_name)
def test_a_kept_history_replays_without_divergence(path: Path) -> None:
    """Stopped after every turn, as by an update of the app: it goes on as it did."""
    kept = Kept.read(path)
    assert len(kept.turns) >= 3
    assert diverges(kept) is None


@pytest.mark.parametrize("path", HISTORIES, ids=_name)
def test_a_kept_history_replays_in_one_go(path: Path) -> None:
    """All of the past is known and only the last event is new: the end is the same."""
    kept = Kept.read(path)
    last = kept.turns[-1]
    actions = replay(kept, kept.events[:last], kept.events[last:])
    assert _wrong_end(kept, actions) is None


def test_every_version_has_its_histories() -> None:
    """Of today's, and of those before, under which transfers that are still running began."""
    versions = {path: Kept.read(path).version for path in HISTORIES}
    assert {"", VERSION} <= set(versions.values())
    for path, version in versions.items():
        assert path.parent == FOLDER / version


def test_the_version_is_compared_by_its_numbers() -> None:
    """The Functions host compares as text what is not of two parts or more: 10 before 9."""
    assert re.fullmatch(r"\d+(\.\d+){1,3}", VERSION)


def test_a_history_of_other_code_is_noticed() -> None:
    """An activity that the history calls by another name turns this suite red."""
    kept = Kept.read(FOLDER / "large.json")
    events = [copy.deepcopy(event) for event in kept.events]
    for event in events:
        if event.WhichOneof("eventType") == "taskScheduled" and event.eventId > 1:
            event.taskScheduled.name = "another_activity"
    assert diverges(Kept(kept.instance_id, kept.output, events)) is not None


@pytest.mark.parametrize("what", ["name", "input"])
def test_an_orchestrator_that_replays_otherwise_is_noticed(what: str) -> None:
    """The engine of these suites replays every history at its end."""
    runs: list[object] = []

    def fickle(ctx: OrchestrationContext, payload: dict[str, Any]) -> Generator[Any, Any, Any]:
        runs.append(payload)
        yield ctx.call_activity(f"run {len(runs) if what == 'name' else 1}", input=len(runs))
        return payload

    def activity(_: object) -> dict[str, Any]:
        return {}

    activities: dict[str, Activity] = {"run 1": activity}
    engine = VirtualEngine(VirtualClock(), fickle, "id", {}, activities, VirtualEntities(()))
    with pytest.raises(AssertionError, match="a replay does something else"):
        engine.run()


@pytest.mark.parametrize("path", HISTORIES, ids=_name)
def test_no_history_holds_a_secret(path: Path) -> None:
    """They are read by everybody."""
    text = path.read_text().lower()
    assert not [word for word in ("authtoken", "bearer", "https://", "http://") if word in text]
