"""The durable protocol's messages as arguments and results of functions, and the other way."""

import base64
from typing import Any, Protocol, Self

from durabletask.entities import EntityInstanceId
from durabletask.internal import helpers
from durabletask.internal import orchestrator_service_pb2 as pb
from google.protobuf.wrappers_pb2 import StringValue  # type: ignore[import-untyped]

from infra.local.functions_host.errors import InvocationFailedError
from infra.local.functions_host.functions import Function
from infra.local.functions_host.worker.rpc import Value


class FunctionNames:
    """Finds the function that serves an orchestration, activity or entity, without case.

    Each lookup raises :class:`InvocationFailedError` when there is none, so that the caller fails
    as it would in Azure.
    """

    def __init__(self, functions: tuple[Function, ...]) -> None:
        self._served = {
            (trigger_type, str(function.trigger.get(key) or function.name).lower()): function
            for function in functions
            for trigger_type, key in _NAME_PROPERTIES.items()
            if function.trigger_type == trigger_type
        }

    def orchestration(self, name: str) -> Function:
        """The orchestrator of this name."""
        return self._find("orchestrationTrigger", name)

    def activity(self, name: str) -> Function:
        """The activity of this name."""
        return self._find("activityTrigger", name)

    def entity(self, instance_id: str) -> Function:
        """The entity function behind ``@name@key``."""
        return self._find("entityTrigger", EntityInstanceId.parse(instance_id).entity)

    def _find(self, trigger_type: str, name: str) -> Function:
        function = self._served.get((trigger_type, name.lower()))
        if function is None:
            sentence = f"the app has no function {name!r} with an {trigger_type}"
            raise InvocationFailedError("FunctionNotFound", sentence, "")
        return function


_NAME_PROPERTIES = {
    "orchestrationTrigger": "orchestration",
    "activityTrigger": "activity",
    "entityTrigger": "entityName",
}


class _Message(Protocol):
    def SerializeToString(self) -> bytes: ...  # noqa: N802 (a name of protobuf)

    @classmethod
    def FromString(cls, serialized: bytes, /) -> Self: ...  # noqa: N802


def packed(message: _Message) -> Value:
    """A message as the argument of an orchestrator or entity function."""
    return Value(kind="string", value=base64.b64encode(message.SerializeToString()).decode())


def unpacked[M: _Message](result: Value | None, kind: type[M]) -> M:
    """The message that such a function returned."""
    text: Any = result and result["value"]
    if not isinstance(text, str):
        raise InvocationFailedError("NoAnswer", f"the function returned no {kind.__name__}", "")
    return kind.FromString(base64.b64decode(text))


def orchestration_name(request: pb.OrchestratorRequest) -> str:
    """The name under which the instance was started."""
    events = [*request.pastEvents, *request.newEvents]
    started = [event.executionStarted for event in events if event.HasField("executionStarted")]
    return started[-1].name if started else ""


def failure_details(error: InvocationFailedError) -> pb.TaskFailureDetails:
    """An exception as the engine keeps it."""
    return pb.TaskFailureDetails(
        errorType=error.error_type,
        # A failure without a message is taken for a success by the backend.
        errorMessage=error.message or error.error_type,
        stackTrace=StringValue(value=error.stack),
    )


def failures(response: pb.OrchestratorResponse) -> list[str]:
    """How the orchestration failed, if that is what the response says."""
    ends = (action.completeOrchestration for action in response.actions)
    return [
        f"{end.failureDetails.errorType}: {end.failureDetails.errorMessage}"
        for end in ends
        if end.orchestrationStatus == pb.ORCHESTRATION_STATUS_FAILED
    ]


def failed_orchestration(instance_id: str, error: InvocationFailedError) -> pb.OrchestratorResponse:
    """The answer of an orchestrator that could not run at all."""
    end = pb.CompleteOrchestrationAction(
        orchestrationStatus=pb.ORCHESTRATION_STATUS_FAILED, failureDetails=failure_details(error)
    )
    action = pb.OrchestratorAction(id=-1, completeOrchestration=end)
    return pb.OrchestratorResponse(instanceId=instance_id, actions=[action])


def entity_batch(
    request: pb.EntityRequest,
) -> tuple[pb.EntityBatchRequest, list[pb.OperationInfo]]:
    """The operations as an entity function takes them, and whom to answer for each."""
    return helpers.convert_to_entity_batch_request(request)


def failed_batch(
    batch: pb.EntityBatchRequest, error: InvocationFailedError
) -> pb.EntityBatchResult:
    """The answer of an entity that could not run: every operation failed, the state as it was."""
    failure = pb.OperationResultFailure(failureDetails=failure_details(error))
    return pb.EntityBatchResult(
        results=[pb.OperationResult(failure=failure) for _ in batch.operations],
        entityState=batch.entityState,
    )
