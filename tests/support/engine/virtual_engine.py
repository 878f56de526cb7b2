"""Durable's own engine on a virtual clock: real histories and replays, without waiting.

The SDK's worker runs the orchestrator. This module keeps its history, runs its activities, and
fires its timers by moving the clock. The Functions host replays the history at every execution;
here it is replayed once, at the end, to save time.
"""

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from durabletask.internal import helpers
from durabletask.internal import orchestrator_service_pb2 as pb

from tests.support.engine.clock import VirtualClock
from tests.support.engine.entities import VirtualEntities
from tests.support.engine.orchestrator_run import OrchestratorRun

_HOST_JSON = json.loads((Path(__file__).parents[3] / "host.json").read_text())
# The version that the Functions host gives to every instance that it starts.
VERSION: str = _HOST_JSON["extensions"]["durableTask"]["defaultVersion"]

type Activity = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass
class VirtualEngine:
    """One orchestration instance, advanced by one activity or timer at a time.

    ``performed`` are the names of the activities so far, ``waits`` the seconds of the timers and
    ``statuses`` the custom statuses. ``output`` is set when it completes, ``failed`` when it ends
    by an exception. ``peers`` are the instances that it may send events to, ``version`` is that of
    the app that started it.
    """

    clock: VirtualClock
    orchestrator: Any
    instance_id: str
    payload: dict[str, Any]
    activities: dict[str, Activity]
    entities: VirtualEntities
    peers: Mapping[str, "VirtualEngine"] = field(default_factory=dict)
    performed: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    history: list[pb.HistoryEvent] = field(default_factory=list)
    output: dict[str, Any] | None = None
    failed: str | None = None
    version: str = VERSION

    def __post_init__(self) -> None:
        self._orchestrator = OrchestratorRun(self.orchestrator, self.instance_id)
        self._scheduled: deque[tuple[int, str, str]] = deque()
        self._timers: dict[int, datetime] = {}
        self._entity_results: list[pb.HistoryEvent] = []
        self._received_events: deque[pb.HistoryEvent] = deque()
        name, input_ = self.orchestrator.__name__, json.dumps(self.payload)
        started = helpers.new_execution_started_event(
            name, self.instance_id, input_, version=self.version
        )
        self._process([started])

    @property
    def is_over(self) -> bool:
        """Whether the orchestration has ended."""
        return self.output is not None or self.failed is not None

    def run(self) -> dict[str, Any]:
        """Run to the end; the output."""
        while not self.is_over:
            self.advance()
        assert self.failed is None, self.failed
        assert self.output is not None
        return self.output

    def run_until(self, activity: str) -> None:
        """Run until an activity of that name has completed."""
        while not self.is_over:
            self.advance()
            if self.performed and self.performed[-1] == activity:
                return
        raise AssertionError(f"{activity} did not run; the output: {self.output}")

    @property
    def next_activity(self) -> str | None:
        """The scheduled activity, if there is one."""
        return self._scheduled[0][1] if self._scheduled else None

    @property
    def next_work(self) -> tuple[str, dict[str, Any]]:
        """The scheduled activity and its input."""
        _, name, input_ = self._scheduled[0]
        return name, json.loads(input_)

    @property
    def is_active(self) -> bool:
        """Whether it has work to do before a timer fires."""
        return bool(self._scheduled or self._received_events)

    @property
    def next_timer(self) -> datetime:
        """When its next timer fires; there is one unless it is active or over."""
        return min(self._timers.values())

    def advance(self, deliveries: int = 1, between: Callable[[], object] = lambda: None) -> None:
        """Process a received event, run the scheduled activity, or fire the next timer.

        ``deliveries``: how often the activity is delivered, as after a killed worker; ``between``
        is called between two deliveries.
        """
        if self._received_events:
            self._process([self._received_events.popleft()])
            return
        if self._scheduled:
            id_, name, input_ = self._scheduled.popleft()
            self.performed.append(name)
            try:
                for delivery in range(deliveries):
                    if delivery:
                        between()
                    result = self.activities[name](json.loads(input_))
            except Exception as error:  # noqa: BLE001 (the engine reports any error to the orchestrator)
                self._process([helpers.new_task_failed_event(id_, error)])
            else:
                self._process([helpers.new_task_completed_event(id_, json.dumps(result))])
            return
        id_, fires = min(self._timers.items(), key=lambda timer: timer[1])
        del self._timers[id_]
        self.waits.append((fires - self.clock.now).total_seconds())
        self.clock.now = max(self.clock.now, fires)
        self._process([helpers.new_timer_fired_event(id_, fires)])

    def raise_event(self, name: str) -> None:
        """Deliver an external event."""
        self._process([helpers.new_event_raised_event(name)])

    def _process(self, events: list[pb.HistoryEvent]) -> None:
        new = [helpers.new_orchestrator_started_event(self.clock.now), *events]
        response = self._orchestrator.execute(self.history, new)
        self.history += new
        if response.HasField("customStatus"):
            self.statuses.append(json.loads(response.customStatus.value))
        for action in response.actions:
            self._apply(action)
        if self._entity_results:
            results, self._entity_results = self._entity_results, []
            self._process(results)

    def _apply(self, action: pb.OrchestratorAction) -> None:
        if action.HasField("scheduleTask"):
            task = action.scheduleTask
            self._scheduled.append((action.id, task.name, task.input.value))
            event = helpers.new_task_scheduled_event(action.id, task.name, task.input.value)
            self.history.append(event)
        elif action.HasField("createTimer"):
            fires = action.createTimer.fireAt.ToDatetime(UTC)
            self._timers[action.id] = fires
            self.history.append(helpers.new_timer_created_event(action.id, fires))
        elif action.HasField("sendEntityMessage"):
            self._call_entity(action)
        elif action.HasField("sendEvent"):
            self._send_event(action)
        elif action.HasField("completeOrchestration"):
            end = action.completeOrchestration
            if end.orchestrationStatus == pb.ORCHESTRATION_STATUS_COMPLETED:
                self.output = json.loads(end.result.value)
            else:
                self.failed = str(end.failureDetails)
        else:
            raise AssertionError(f"unexpected action: {action}")

    def _call_entity(self, action: pb.OrchestratorAction) -> None:
        message = action.sendEntityMessage
        event = pb.HistoryEvent(eventId=action.id)
        if message.HasField("entityOperationSignaled"):
            signal = message.entityOperationSignaled
            event.entityOperationSignaled.CopyFrom(signal)
            self.history.append(event)
            self.entities.operate(
                signal.targetInstanceId.value, signal.operation, signal.input.value
            )
            return
        call = message.entityOperationCalled
        event.entityOperationCalled.CopyFrom(call)
        self.history.append(event)
        result = self.entities.operate(
            call.targetInstanceId.value, call.operation, call.input.value
        )
        response = pb.HistoryEvent(eventId=-1)
        if result.HasField("failure"):
            response.entityOperationFailed.requestId = call.requestId
            response.entityOperationFailed.failureDetails.CopyFrom(result.failure.failureDetails)
        else:
            response.entityOperationCompleted.requestId = call.requestId
            response.entityOperationCompleted.output.CopyFrom(result.success.result)
        self._entity_results.append(response)

    def _send_event(self, action: pb.OrchestratorAction) -> None:
        sent, event = action.sendEvent, pb.HistoryEvent(eventId=action.id)
        event.eventSent.instanceId = sent.instance.instanceId
        event.eventSent.name = sent.name
        self.history.append(event)
        if (peer := self.peers.get(sent.instance.instanceId)) is not None:
            peer._received_events.append(helpers.new_event_raised_event(sent.name))
