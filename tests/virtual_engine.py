"""Durable's own engine on a virtual clock: real histories and replays, and no waiting.

The SDK's worker replays the orchestrator from its history at every step, as the Functions host has
it do; this class keeps the history, runs the activities and lets timers fire by moving the clock.
"""

import base64
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.durable_functions.worker import DurableFunctionsWorker
from durabletask.internal import helpers
from durabletask.internal import orchestrator_service_pb2 as pb

EPOCH = datetime(2026, 11, 22, 10, tzinfo=UTC)

Activity = Callable[[dict[str, Any]], dict[str, Any]]


class VirtualClock:
    """A clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.now = EPOCH

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        """Move it on."""
        self.now += timedelta(seconds=seconds)


@dataclass
class VirtualEngine:
    """One instance of an orchestration, advanced one activity or timer at a time.

    ``performed`` names the activities so far, ``waits`` the seconds of the timers, ``statuses``
    the custom statuses; ``output`` is set at the end, ``failed`` if it ended by an exception.
    """

    clock: VirtualClock
    orchestrator: Any
    instance_id: str
    payload: dict[str, Any]
    activities: dict[str, Activity]
    performed: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    history: list[pb.HistoryEvent] = field(default_factory=list)
    output: dict[str, Any] | None = None
    failed: str | None = None

    def __post_init__(self) -> None:
        self._worker = DurableFunctionsWorker()
        self._due: deque[tuple[int, str, str]] = deque()
        self._timers: dict[int, datetime] = {}
        name, input_ = self.orchestrator.__name__, json.dumps(self.payload)
        self._replay([helpers.new_execution_started_event(name, self.instance_id, input_)])

    @property
    def is_over(self) -> bool:
        """Whether the orchestration has come to its end."""
        return self.output is not None or self.failed is not None

    def run(self) -> dict[str, Any]:
        """Go on to the end; the output."""
        while not self.is_over:
            self.advance()
        assert self.failed is None, self.failed
        assert self.output is not None
        return self.output

    def run_until(self, activity: str) -> None:
        """Go on until an activity of that name has just been performed."""
        while not self.is_over:
            self.advance()
            if self.performed and self.performed[-1] == activity:
                return
        raise AssertionError(f"{activity} was not performed; it ended: {self.output}")

    @property
    def next_activity(self) -> str | None:
        """The activity that is due, if one is."""
        return self._due[0][1] if self._due else None

    def advance(self, deliveries: int = 1) -> None:
        """Perform the activity that is due, or let the next timer fire.

        ``deliveries``: how often the activity is delivered, as after a killed worker.
        """
        if self._due:
            id_, name, input_ = self._due.popleft()
            self.performed.append(name)
            try:
                for _ in range(deliveries):
                    result = self.activities[name](json.loads(input_))
            except Exception as error:  # noqa: BLE001 (whatever it is, the engine tells the orchestrator)
                self._replay([helpers.new_task_failed_event(id_, error)])
            else:
                self._replay([helpers.new_task_completed_event(id_, json.dumps(result))])
            return
        id_, fires = min(self._timers.items(), key=lambda timer: timer[1])
        del self._timers[id_]
        self.waits.append((fires - self.clock.now).total_seconds())
        self.clock.now = max(self.clock.now, fires)
        self._replay([helpers.new_timer_fired_event(id_, fires)])

    def raise_event(self, name: str) -> None:
        """Deliver an external event."""
        self._replay([helpers.new_event_raised_event(name)])

    def _replay(self, events: list[pb.HistoryEvent]) -> None:
        new = [helpers.new_orchestrator_started_event(self.clock.now), *events]
        request = pb.OrchestratorRequest(
            instanceId=self.instance_id, pastEvents=self.history, newEvents=new
        )
        answer = self._worker.execute_orchestration_request(
            self.orchestrator, base64.b64encode(request.SerializeToString()).decode()
        )
        response = pb.OrchestratorResponse.FromString(base64.b64decode(answer))
        self.history += new
        if response.HasField("customStatus"):
            self.statuses.append(json.loads(response.customStatus.value))
        for action in response.actions:
            self._act(action)

    def _act(self, action: pb.OrchestratorAction) -> None:
        if action.HasField("scheduleTask"):
            task = action.scheduleTask
            self._due.append((action.id, task.name, task.input.value))
            event = helpers.new_task_scheduled_event(action.id, task.name, task.input.value)
            self.history.append(event)
        elif action.HasField("createTimer"):
            fires = action.createTimer.fireAt.ToDatetime(UTC)
            self._timers[action.id] = fires
            self.history.append(helpers.new_timer_created_event(action.id, fires))
        elif action.HasField("completeOrchestration"):
            end = action.completeOrchestration
            if end.orchestrationStatus == pb.ORCHESTRATION_STATUS_COMPLETED:
                self.output = json.loads(end.result.value)
            else:
                self.failed = str(end.failureDetails)
        else:
            raise AssertionError(f"no such action is expected: {action}")
