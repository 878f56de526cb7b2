"""Durable's own engine on a virtual clock: real histories and replays, and no waiting.

The SDK's worker runs the orchestrator by its history; this module keeps that, runs the activities
and lets timers fire by moving the clock. The Functions host has everything replayed at every step:
here it is at the end, since the time of long transfers would go there.
"""

import base64
import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from azure.durable_functions.worker import DurableFunctionsWorker
from durabletask.internal import helpers
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal.tracing import suppress_span_emission
from durabletask.worker import _OrchestrationExecutor, _RuntimeOrchestrationContext

EPOCH = datetime(2026, 11, 22, 10, tzinfo=UTC)

_HOST_JSON = json.loads((Path(__file__).parents[3] / "host.json").read_text())
# The version that the Functions host gives to every instance that is started.
VERSION: str = _HOST_JSON["extensions"]["durableTask"]["defaultVersion"]

_Events = list[pb.HistoryEvent]
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


class VirtualEntities:
    """The entities that every instance shares, run by the SDK's own worker one after the other."""

    def __init__(self, entities: Iterable[Any]) -> None:
        self._functions = {each.__name__: each for each in entities}
        self._worker = DurableFunctionsWorker()
        self._lock = threading.Lock()
        self.states: dict[str, str] = {}

    def operate(self, target: str, operation: str, input_: str) -> pb.OperationResult:
        """Do one operation; its result."""
        request = pb.EntityBatchRequest(
            instanceId=target,
            operations=[pb.OperationRequest(operation=operation, input=_text(input_))],
        )
        with self._lock:
            if target in self.states:
                request.entityState.value = self.states[target]
            answer = self._worker.execute_entity_batch_request(
                self._functions[target.split("@")[1]],
                base64.b64encode(request.SerializeToString()).decode(),
            )
            batch = pb.EntityBatchResult.FromString(base64.b64decode(answer))
            if batch.HasField("entityState"):
                self.states[target] = batch.entityState.value
            else:
                self.states.pop(target, None)
        result: pb.OperationResult = batch.results[0]
        return result


def _text(value: str) -> Any:
    return helpers.get_string_value(value)


class _Orchestrator:
    """One run of an orchestrator, kept from turn to turn.

    It is given the events that a replay gives it, each of them once; at its end everything is
    replayed by another run of it, turn by turn, and by the SDK in one go.
    """

    def __init__(self, function: Any, instance_id: str) -> None:
        self._function, self._instance_id = function, instance_id
        worker = DurableFunctionsWorker()
        worker._register_orchestrator_once(function.__name__, function)
        parts: dict[str, Any] = {
            "maximum_timer_interval": worker.maximum_timer_interval,
            "data_converter": worker._data_converter,
            "logger": worker._logger,
        }
        self._context = _RuntimeOrchestrationContext(instance_id, worker._registry, **parts)
        self._executor = _OrchestrationExecutor(worker._registry, **parts)
        self._executor._orchestration_name = function.__name__
        self._taken = 0
        # Where the new events of a turn begin and end, and what it did.
        self._turns: list[tuple[int, int, pb.OrchestratorResponse]] = []

    def turn(self, past: _Events, new: _Events) -> pb.OrchestratorResponse:
        """What it does after these events, of which it knows the first ones."""
        response = self._respond(past, new)
        self._turns.append((len(past), self._taken, response))
        if self._context._is_complete:
            self._check([*past, *new])
        return response

    def _respond(self, past: _Events, new: _Events) -> pb.OrchestratorResponse:
        context = self._context
        try:
            with suppress_span_emission():
                self._process(past[self._taken :], is_replaying=True)
                self._process(new, is_replaying=False)
        except Exception as error:  # noqa: BLE001 (as the SDK does)
            context.set_failed(error)
        self._taken = len(past) + len(new)
        response = pb.OrchestratorResponse(
            instanceId=self._instance_id, actions=context.get_actions()
        )
        if (status := context._encoded_custom_status) is not None:
            response.customStatus.value = status
        return response

    def _process(self, events: _Events, *, is_replaying: bool) -> None:
        self._context._is_replaying = is_replaying
        for event in events:
            self._executor.process_event(self._context, event)

    def _check(self, history: _Events) -> None:
        """See that replays do what was done."""
        again = _Orchestrator(self._function, self._instance_id)
        for begin, end, response in self._turns:
            replayed = again._respond(history[:begin], history[begin:end])
            assert _deeds(replayed) == _deeds(response), f"a replay does something else: {replayed}"
        request = pb.OrchestratorRequest(
            instanceId=self._instance_id, pastEvents=history[:begin], newEvents=history[begin:]
        )
        answer = DurableFunctionsWorker().execute_orchestration_request(
            self._function, base64.b64encode(request.SerializeToString()).decode()
        )
        replayed = pb.OrchestratorResponse.FromString(base64.b64decode(answer))
        assert _deeds(replayed) == _deeds(response), f"a replay ends otherwise: {replayed}"


def _deeds(response: pb.OrchestratorResponse) -> pb.OrchestratorResponse:
    """What counts in it; where an orchestrator's own exception came from differs by who ran it."""
    deeds = pb.OrchestratorResponse(actions=response.actions)
    if response.HasField("customStatus"):
        deeds.customStatus.value = response.customStatus.value
    for action in deeds.actions:
        if action.completeOrchestration.HasField("failureDetails"):
            action.completeOrchestration.failureDetails.ClearField("stackTrace")
    return deeds


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
    entities: VirtualEntities
    peers: Mapping[str, "VirtualEngine"] = field(default_factory=dict)
    performed: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    history: list[pb.HistoryEvent] = field(default_factory=list)
    output: dict[str, Any] | None = None
    failed: str | None = None

    def __post_init__(self) -> None:
        self._orchestrator = _Orchestrator(self.orchestrator, self.instance_id)
        self._due: deque[tuple[int, str, str]] = deque()
        self._timers: dict[int, datetime] = {}
        self._answers: list[pb.HistoryEvent] = []
        self._received: deque[pb.HistoryEvent] = deque()
        name, input_ = self.orchestrator.__name__, json.dumps(self.payload)
        started = helpers.new_execution_started_event(
            name, self.instance_id, input_, version=VERSION
        )
        self._take([started])

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

    @property
    def is_active(self) -> bool:
        """Whether something is to be done before any timer fires."""
        return bool(self._due or self._received)

    @property
    def next_timer(self) -> datetime:
        """When its next timer fires; there is one whenever it is neither active nor over."""
        return min(self._timers.values())

    def advance(self, deliveries: int = 1, between: Callable[[], object] = lambda: None) -> None:
        """Take in what others sent, perform the activity that is due, or let a timer fire.

        ``deliveries``: how often the activity is delivered, as after a killed worker; ``between``
        is what happens from one to the next.
        """
        if self._received:
            self._take([self._received.popleft()])
            return
        if self._due:
            id_, name, input_ = self._due.popleft()
            self.performed.append(name)
            try:
                for delivery in range(deliveries):
                    if delivery:
                        between()
                    result = self.activities[name](json.loads(input_))
            except Exception as error:  # noqa: BLE001 (whatever it is, the engine tells the orchestrator)
                self._take([helpers.new_task_failed_event(id_, error)])
            else:
                self._take([helpers.new_task_completed_event(id_, json.dumps(result))])
            return
        id_, fires = min(self._timers.items(), key=lambda timer: timer[1])
        del self._timers[id_]
        self.waits.append((fires - self.clock.now).total_seconds())
        self.clock.now = max(self.clock.now, fires)
        self._take([helpers.new_timer_fired_event(id_, fires)])

    def raise_event(self, name: str) -> None:
        """Deliver an external event."""
        self._take([helpers.new_event_raised_event(name)])

    def _take(self, events: list[pb.HistoryEvent]) -> None:
        new = [helpers.new_orchestrator_started_event(self.clock.now), *events]
        response = self._orchestrator.turn(self.history, new)
        self.history += new
        if response.HasField("customStatus"):
            self.statuses.append(json.loads(response.customStatus.value))
        for action in response.actions:
            self._act(action)
        if self._answers:
            answers, self._answers = self._answers, []
            self._take(answers)

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
        elif action.HasField("sendEntityMessage"):
            self._message(action)
        elif action.HasField("sendEvent"):
            self._send(action)
        elif action.HasField("completeOrchestration"):
            end = action.completeOrchestration
            if end.orchestrationStatus == pb.ORCHESTRATION_STATUS_COMPLETED:
                self.output = json.loads(end.result.value)
            else:
                self.failed = str(end.failureDetails)
        else:
            raise AssertionError(f"no such action is expected: {action}")

    def _message(self, action: pb.OrchestratorAction) -> None:
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
        answer = pb.HistoryEvent(eventId=-1)
        if result.HasField("failure"):
            answer.entityOperationFailed.requestId = call.requestId
            answer.entityOperationFailed.failureDetails.CopyFrom(result.failure.failureDetails)
        else:
            answer.entityOperationCompleted.requestId = call.requestId
            answer.entityOperationCompleted.output.CopyFrom(result.success.result)
        self._answers.append(answer)

    def _send(self, action: pb.OrchestratorAction) -> None:
        sent, event = action.sendEvent, pb.HistoryEvent(eventId=action.id)
        event.eventSent.instanceId = sent.instance.instanceId
        event.eventSent.name = sent.name
        self.history.append(event)
        if (peer := self.peers.get(sent.instance.instanceId)) is not None:
            peer._received.append(helpers.new_event_raised_event(sent.name))
