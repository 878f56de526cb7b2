"""One run of an orchestrator on the SDK's own executor, with its replays checked at the end."""

import base64
from typing import Any

from azure.durable_functions.worker import DurableFunctionsWorker
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal.tracing import suppress_span_emission
from durabletask.worker import _OrchestrationExecutor, _RuntimeOrchestrationContext

type _Events = list[pb.HistoryEvent]


class OrchestratorRun:
    """An orchestrator whose context is kept from one execution to the next.

    Each event is processed once. When the orchestrator completes, the history is replayed twice:
    execution by execution in a new run, and in one go by the SDK's worker, if ``checks_replays``.
    """

    def __init__(self, function: Any, instance_id: str, *, checks_replays: bool = True) -> None:
        self._checks_replays = checks_replays
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
        self._processed = 0
        # Of each execution: where its new events begin and end, and its response.
        self._executions: list[tuple[int, int, pb.OrchestratorResponse]] = []

    def execute(self, past: _Events, new: _Events) -> pb.OrchestratorResponse:
        """Process the new events; ``past`` is the history before them."""
        response = self._respond(past, new)
        self._executions.append((len(past), self._processed, response))
        if self._context._is_complete and self._checks_replays:
            self._check_replays([*past, *new])
        return response

    def _respond(self, past: _Events, new: _Events) -> pb.OrchestratorResponse:
        context = self._context
        try:
            with suppress_span_emission():
                self._process(past[self._processed :], is_replaying=True)
                self._process(new, is_replaying=False)
        except Exception as error:  # noqa: BLE001 (as the SDK does)
            context.set_failed(error)
        self._processed = len(past) + len(new)
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

    def _check_replays(self, history: _Events) -> None:
        again = OrchestratorRun(self._function, self._instance_id)
        for begin, end, response in self._executions:
            replayed = again._respond(history[:begin], history[begin:end])
            assert _comparable(replayed) == _comparable(response), f"a replay diverges: {replayed}"
        request = pb.OrchestratorRequest(
            instanceId=self._instance_id, pastEvents=history[:begin], newEvents=history[begin:]
        )
        answer = DurableFunctionsWorker().execute_orchestration_request(
            self._function, base64.b64encode(request.SerializeToString()).decode()
        )
        replayed = pb.OrchestratorResponse.FromString(base64.b64decode(answer))
        assert _comparable(replayed) == _comparable(response), (
            f"a replay ends otherwise: {replayed}"
        )


def _comparable(response: pb.OrchestratorResponse) -> pb.OrchestratorResponse:
    """The response without stack traces, which differ with the caller."""
    kept = pb.OrchestratorResponse(actions=response.actions)
    if response.HasField("customStatus"):
        kept.customStatus.value = response.customStatus.value
    for action in kept.actions:
        if action.completeOrchestration.HasField("failureDetails"):
            action.completeOrchestration.failureDetails.ClearField("stackTrace")
    return kept
