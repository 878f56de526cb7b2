"""Replays recorded histories on the code of today."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from azure.durable_functions.worker import DurableFunctionsWorker
from durabletask.internal import orchestrator_service_pb2 as pb
from google.protobuf import json_format  # type: ignore[import-untyped]

from shared.transfer.workflow.orchestrator import attach_blob
from tests.support.histories.recording import FOLDER

HISTORIES = sorted(FOLDER.rglob("*.json"))


def name_of(path: Path) -> str:
    return str(path.relative_to(FOLDER).with_suffix(""))


@dataclass(frozen=True)
class RecordedHistory:
    """A recorded history; ``executions`` are the indices where the orchestrator was executed."""

    instance_id: str
    output: dict[str, Any]
    events: list[pb.HistoryEvent]

    @classmethod
    def read(cls, path: Path) -> Self:
        data = json.loads(path.read_text())
        events = [json_format.ParseDict(each, pb.HistoryEvent()) for each in data["events"]]
        return cls(data["instanceId"], data["output"], events)

    @property
    def version(self) -> str:
        """The version that the instance was started with; empty if with none."""
        (started,) = [each for each in self.events if each.HasField("executionStarted")]
        return str(started.executionStarted.version.value)

    @property
    def executions(self) -> list[int]:
        return [
            n for n, event in enumerate(self.events) if event.WhichOneof("eventType") == STARTED
        ]


STARTED = "orchestratorStarted"
# Events that the orchestrator's own actions caused, and the actions.
OWN = {"taskScheduled": "scheduleTask", "timerCreated": "createTimer"}


def replay(
    recorded: RecordedHistory, past: Sequence[pb.HistoryEvent], new: Sequence[pb.HistoryEvent]
) -> list[pb.OrchestratorAction]:
    """The actions of today's orchestrator after these events."""
    request = pb.OrchestratorRequest(
        instanceId=recorded.instance_id, pastEvents=past, newEvents=new
    )
    text = base64.b64encode(request.SerializeToString()).decode()
    response = DurableFunctionsWorker().execute_orchestration_request(attach_blob, text)
    return list(pb.OrchestratorResponse.FromString(base64.b64decode(response)).actions)


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
    """Every input field that an activity had then it has now; there may be more."""
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


def diverges(recorded: RecordedHistory) -> str | None:
    """Where today's code diverges from the history, if it does."""
    executions = [*recorded.executions, len(recorded.events)]
    for begin, end in pairwise(executions):
        caused = own_events(recorded.events[begin:end])
        new = [event for event in recorded.events[begin:end] if event not in caused]
        actions = replay(recorded, recorded.events[:begin], new)
        if end < len(recorded.events):
            if [of_action(each) for each in actions] != [of_event(each) for each in caused]:
                return f"at event {begin}: {actions}"
            check_inputs(actions, caused)
        elif (fault := wrong_end(recorded, actions)) is not None:
            return fault
    return None


def wrong_end(recorded: RecordedHistory, actions: list[pb.OrchestratorAction]) -> str | None:
    ends = [
        each.completeOrchestration for each in actions if each.HasField("completeOrchestration")
    ]
    if [each.orchestrationStatus for each in ends] != [pb.ORCHESTRATION_STATUS_COMPLETED]:
        return f"at the end: {actions}"
    output = json.loads(ends[0].result.value)
    return None if merged(output, recorded.output) == output else f"another output: {output}"
