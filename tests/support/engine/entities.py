"""Durable entities, run by the SDK's own worker."""

import base64
import threading
from collections.abc import Iterable
from typing import Any

from azure.durable_functions.worker import DurableFunctionsWorker
from durabletask.internal import helpers
from durabletask.internal import orchestrator_service_pb2 as pb


class VirtualEntities:
    """The entities that all instances share; their operations run one after the other."""

    def __init__(self, entities: Iterable[Any]) -> None:
        self._functions = {each.__name__: each for each in entities}
        self._worker = DurableFunctionsWorker()
        self._lock = threading.Lock()
        self.states: dict[str, str] = {}

    def operate(self, target: str, operation: str, input_: str) -> pb.OperationResult:
        """Run one operation; its result."""
        request = pb.EntityBatchRequest(
            instanceId=target,
            operations=[pb.OperationRequest(operation=operation, input=_string_value(input_))],
        )
        with self._lock:
            if target in self.states:
                request.entityState.value = self.states[target]
            response = self._worker.execute_entity_batch_request(
                self._functions[target.split("@")[1]],
                base64.b64encode(request.SerializeToString()).decode(),
            )
            batch = pb.EntityBatchResult.FromString(base64.b64decode(response))
            if batch.HasField("entityState"):
                self.states[target] = batch.entityState.value
            else:
                self.states.pop(target, None)
        result: pb.OperationResult = batch.results[0]
        return result

    def answer(self, call: pb.EntityOperationCalledEvent) -> pb.HistoryEvent:
        """Run the operation of a call; the event with its result."""
        result = self.operate(call.targetInstanceId.value, call.operation, call.input.value)
        response = pb.HistoryEvent(eventId=-1)
        if result.HasField("failure"):
            response.entityOperationFailed.requestId = call.requestId
            response.entityOperationFailed.failureDetails.CopyFrom(result.failure.failureDetails)
        else:
            response.entityOperationCompleted.requestId = call.requestId
            response.entityOperationCompleted.output.CopyFrom(result.success.result)
        return response


def _string_value(text: str) -> Any:
    return helpers.get_string_value(text)
