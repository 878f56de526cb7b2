"""The engine's protobuf messages as arguments and results of functions, and back."""

import base64
from typing import Any, Protocol, Self

from durabletask.internal import helpers
from durabletask.internal import orchestrator_service_pb2 as pb
from google.protobuf.wrappers_pb2 import StringValue  # type: ignore[import-untyped]

from infra.local.functions_host.errors import InvocationFailedError
from infra.local.functions_host.worker.rpc import Value


class _Message(Protocol):
    def SerializeToString(self) -> bytes: ...  # noqa: N802 (a name of protobuf)

    @classmethod
    def FromString(cls, serialized: bytes, /) -> Self: ...  # noqa: N802


def encode(message: _Message) -> Value:
    """A message as the argument of an orchestrator or entity function."""
    return Value(kind="string", value=base64.b64encode(message.SerializeToString()).decode())


def decode[M: _Message](result: Value | None, kind: type[M]) -> M:
    """The message that such a function returned.

    Raises :class:`InvocationFailedError` when it returned none.
    """
    text: Any = result and result["value"]
    if not isinstance(text, str):
        raise InvocationFailedError("NoResult", f"the function returned no {kind.__name__}", "")
    return kind.FromString(base64.b64decode(text))


def orchestration_name(request: pb.OrchestratorRequest) -> str:
    """The name that the instance was started with."""
    events = [*request.pastEvents, *request.newEvents]
    started = [event.executionStarted for event in events if event.HasField("executionStarted")]
    return started[-1].name if started else ""


def failure_details(error: InvocationFailedError) -> pb.TaskFailureDetails:
    """An exception as the engine stores it."""
    return pb.TaskFailureDetails(
        errorType=error.error_type,
        # The backend takes a failure without a message for a success.
        errorMessage=error.message or error.error_type,
        stackTrace=StringValue(value=error.stack),
    )


def failures(response: pb.OrchestratorResponse) -> list[str]:
    """``Type: message`` of the orchestration's failure, empty when it did not fail."""
    ends = (action.completeOrchestration for action in response.actions)
    return [
        f"{end.failureDetails.errorType}: {end.failureDetails.errorMessage}"
        for end in ends
        if end.orchestrationStatus == pb.ORCHESTRATION_STATUS_FAILED
    ]


def failed_orchestration(instance_id: str, error: InvocationFailedError) -> pb.OrchestratorResponse:
    """The response of an orchestrator that could not run."""
    end = pb.CompleteOrchestrationAction(
        orchestrationStatus=pb.ORCHESTRATION_STATUS_FAILED, failureDetails=failure_details(error)
    )
    action = pb.OrchestratorAction(id=-1, completeOrchestration=end)
    return pb.OrchestratorResponse(instanceId=instance_id, actions=[action])


def entity_batch(
    request: pb.EntityRequest,
) -> tuple[pb.EntityBatchRequest, list[pb.OperationInfo]]:
    """The operations as an entity function takes them, and the recipient of each result."""
    return helpers.convert_to_entity_batch_request(request)


def failed_batch(
    batch: pb.EntityBatchRequest, error: InvocationFailedError
) -> pb.EntityBatchResult:
    """The result of an entity that could not run: each operation failed, its state unchanged."""
    failure = pb.OperationResultFailure(failureDetails=failure_details(error))
    return pb.EntityBatchResult(
        results=[pb.OperationResult(failure=failure) for _ in batch.operations],
        entityState=batch.entityState,
    )
