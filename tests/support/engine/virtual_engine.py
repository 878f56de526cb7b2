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


@dataclass(frozen=True)
class Work:
    """An activity that an orchestration has scheduled."""

    id: int
    name: str
    input: str

    @property
    def payload(self) -> dict[str, Any]:
        """The activity's input."""
        payload: dict[str, Any] = json.loads(self.input)
        return payload


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
        self._orchestrator = self._new_run()
        self._scheduled: deque[Work] = deque()
        self._timers: dict[int, datetime] = {}
        self._entity_results: list[pb.HistoryEvent] = []
        self._received_events: deque[pb.HistoryEvent] = deque()
        name, input_ = self.orchestrator.__name__, json.dumps(self.payload)
        started = helpers.new_execution_started_event(
            name, self.instance_id, input_, version=self.version
        )
        self._process([started])

    def _new_run(self) -> OrchestratorRun:
        return OrchestratorRun(self.orchestrator, self.instance_id)

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
        return self._scheduled[0].name if self._scheduled else None

    @property
    def next_work(self) -> tuple[str, dict[str, Any]]:
        """The scheduled activity and its input."""
        return self._scheduled[0].name, self._scheduled[0].payload

    @property
    def is_active(self) -> bool:
        """Whether it has work to do before a timer fires."""
        return bool(self._scheduled or self._received_events)

    @property
    def next_timer(self) -> datetime:
        """When its next timer fires; there is one unless it is active or over."""
        return min(self._timers.values())

    @property
    def has_timer(self) -> bool:
        """Whether it waits for a timer."""
        return bool(self._timers)

    def advance(self, deliveries: int = 1, between: Callable[[], object] = lambda: None) -> None:
        """Process a received event, run the scheduled activity, or fire the next timer.

        ``deliveries``: how often the activity is delivered, as after a killed worker; ``between``
        is called between two deliveries.
        """
        if self._received_events:
            self.receive()
        elif self._scheduled:
            work = self.take_work()
            try:
                for delivery in range(deliveries):
                    if delivery:
                        between()
                    result = self.activities[work.name](work.payload)
            except Exception as error:  # noqa: BLE001 (the engine reports any error to the orchestrator)
                self.fail(work, error)
            else:
                self.complete(work, result)
        else:
            self.fire_timer()

    def receive(self) -> None:
        """Process a received event."""
        self._process([self._received_events.popleft()])

    def take_work(self) -> Work:
        """The scheduled activity, which whoever calls this runs."""
        work = self._scheduled.popleft()
        self.performed.append(work.name)
        return work

    def complete(self, work: Work, result: dict[str, Any]) -> None:
        """Process the result of an activity."""
        self._process([helpers.new_task_completed_event(work.id, json.dumps(result))])

    def fail(self, work: Work, error: Exception) -> None:
        """Process the failure of an activity."""
        self._process([helpers.new_task_failed_event(work.id, error)])

    def fire_timer(self) -> None:
        """Fire the next timer; the clock moves on to its time."""
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
            self._note_status(response.customStatus.value)
        for action in response.actions:
            self._apply(action)
        if self._entity_results:
            results, self._entity_results = self._entity_results, []
            self._process(results)

    def _note_status(self, text: str) -> None:
        self.statuses.append(json.loads(text))

    def _apply(self, action: pb.OrchestratorAction) -> None:
        if action.HasField("scheduleTask"):
            task = action.scheduleTask
            self._scheduled.append(Work(action.id, task.name, task.input.value))
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
        self.history.append(event)
        if message.HasField("entityOperationSignaled"):
            event.entityOperationSignaled.CopyFrom(message.entityOperationSignaled)
            self._signal(message.entityOperationSignaled)
        else:
            event.entityOperationCalled.CopyFrom(message.entityOperationCalled)
            self._call(message.entityOperationCalled)

    def _signal(self, signal: pb.EntityOperationSignaledEvent) -> None:
        self.entities.operate(signal.targetInstanceId.value, signal.operation, signal.input.value)

    def _call(self, call: pb.EntityOperationCalledEvent) -> None:
        self._entity_results.append(self.entities.answer(call))

    def _send_event(self, action: pb.OrchestratorAction) -> None:
        sent, event = action.sendEvent, pb.HistoryEvent(eventId=action.id)
        event.eventSent.instanceId = sent.instance.instanceId
        event.eventSent.name = sent.name
        self.history.append(event)
        if (peer := self.peers.get(sent.instance.instanceId)) is not None:
            peer._received_events.append(helpers.new_event_raised_event(sent.name))
