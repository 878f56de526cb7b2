"""Dispatches the engine's work items to the app's functions, and returns their results to it."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as sidecar

from infra.local.functions_host.durable import messages
from infra.local.functions_host.durable.adversities import Adversities
from infra.local.functions_host.durable.backend import GRPC_OPTIONS
from infra.local.functions_host.durable.functions import DurableFunctions
from infra.local.functions_host.errors import InvocationFailedError, WorkerUnavailableError
from infra.local.functions_host.functions import Function
from infra.local.functions_host.host_json import HostJson
from infra.local.functions_host.invoker import Invoker
from infra.local.functions_host.worker.rpc import Value

logger = logging.getLogger(__name__)


class WorkItemDispatcher:
    """Receives work items as a stream; each becomes an invocation, all of them concurrent.

    Entities count towards the limit of orchestrators, as in Azure. With ``adversities``, activities
    are delivered again, and checkpoints of orchestrations are lost.
    """

    def __init__(
        self,
        address: str,
        functions: tuple[Function, ...],
        invoke: Invoker,
        limits: HostJson,
        adversities: Adversities | None = None,
    ) -> None:
        self._channel = grpc.insecure_channel(address, options=GRPC_OPTIONS)
        self._stub: Any = sidecar.TaskHubSidecarServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._functions = DurableFunctions(functions)
        self._invoke = invoke
        self._adversities = adversities
        self._activity_slots = _slots(limits.max_activities)
        self._orchestrator_slots = _slots(limits.max_orchestrators)
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread: threading.Thread

    def start(self) -> None:
        """Begin to receive work items, in the running loop."""
        loop = asyncio.get_running_loop()
        self._work_items = self._stub.GetWorkItems(pb.GetWorkItemsRequest())
        self._thread = threading.Thread(target=self._receive, args=(loop,), name="work-items")
        self._thread.start()

    async def stop(self) -> None:
        """Receive no more work items, and cancel those in progress."""
        self._work_items.cancel()
        await asyncio.to_thread(self._thread.join)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._channel.close()

    def _receive(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            for item in self._work_items:
                loop.call_soon_threadsafe(self._dispatch, item)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.CANCELLED:
                logger.critical("The stream of work items ended: %s", error)

    def _dispatch(self, item: pb.WorkItem) -> None:
        match item.WhichOneof("request"):
            case "orchestratorRequest":
                work = self._run_orchestrator(item)
            case "activityRequest":
                work = self._run_activity(item)
            case "entityRequestV2":
                work = self._run_entity(item)
            case other:
                logger.error("A work item of an unknown type was dropped: %s", other)
                return
        self._begin(work)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_log_errors(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_orchestrator(self, item: pb.WorkItem) -> None:
        request = item.orchestratorRequest
        name = messages.orchestration_name(request)
        try:
            function = self._functions.orchestrator(name)
            response = await self._execute(function, request)
            if self._adversities and self._adversities.loses_checkpoint(request.instanceId):
                for action in response.actions:
                    if action.HasField("scheduleTask"):
                        task = action.scheduleTask
                        self._begin(self._repeat(task.name, task.input.value))
                response = await self._execute(function, request)
            for failure in messages.failures(response):
                logger.error("Orchestration %s (%s) failed: %s", request.instanceId, name, failure)
        except InvocationFailedError as error:
            # An orchestrator's own exceptions are part of its response. This is a fault in the
            # app's bindings, and in Azure it fails the instance too.
            logger.error("Orchestrator %s could not run: %s\n%s", name, error, error.stack)  # noqa: TRY400
            response = messages.failed_orchestration(request.instanceId, error)
        response.completionToken = item.completionToken
        await _complete(self._stub.CompleteOrchestratorTask, response)

    async def _execute(
        self, function: Function, request: pb.OrchestratorRequest
    ) -> pb.OrchestratorResponse:
        async with self._orchestrator_slots:
            result = await self._invoke(function, messages.encode(request))
        return messages.decode(result, pb.OrchestratorResponse)

    async def _run_activity(self, item: pb.WorkItem) -> None:
        request = item.activityRequest
        response = pb.ActivityResponse(
            instanceId=request.orchestrationInstance.instanceId,
            taskId=request.taskId,
            completionToken=item.completionToken,
        )
        try:
            function = self._functions.activity(request.name)
            self._repeat_later(request)
            result = await self._perform(function, request.input.value)
            response.result.value = "null" if result is None else result["value"]
        except InvocationFailedError as error:
            logger.warning("Activity %s failed: %s", request.name, error)
            response.failureDetails.CopyFrom(messages.failure_details(error))
        await _complete(self._stub.CompleteActivityTask, response)

    async def _perform(self, function: Function, input_: str) -> Value | None:
        async with self._activity_slots:
            return await self._invoke(function, Value(kind="json", value=input_ or "null"))

    def _repeat_later(self, request: pb.ActivityRequest) -> None:
        after = self._adversities.duplicate_after(request.name) if self._adversities else None
        if after is not None:
            self._begin(self._repeat(request.name, request.input.value, after))

    async def _repeat(self, name: str, input_: str, after: float = 0.0) -> None:
        """Run an activity whose result nobody waits for."""
        await asyncio.sleep(after)
        try:
            await self._perform(self._functions.activity(name), input_)
        except InvocationFailedError as error:
            logger.warning("A repeated delivery of %s failed: %s", name, error)

    async def _run_entity(self, item: pb.WorkItem) -> None:
        batch, operations = messages.entity_batch(item.entityRequestV2)
        try:
            function = self._functions.entity(batch.instanceId)
            async with self._orchestrator_slots:
                result = await self._invoke(function, messages.encode(batch))
            response = messages.decode(result, pb.EntityBatchResult)
        except InvocationFailedError as error:
            logger.error("Entity %s could not run: %s\n%s", batch.instanceId, error, error.stack)  # noqa: TRY400
            response = messages.failed_batch(batch, error)
        response.operationInfos.extend(operations)
        response.completionToken = item.completionToken
        await _complete(self._stub.CompleteEntityTask, response)


async def _complete(call: Callable[[Any], Any], response: object) -> None:
    await asyncio.to_thread(call, response)


async def _log_errors(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except WorkerUnavailableError as error:
        logger.error("A work item was not completed: %s", error)  # noqa: TRY400 (expected)
    except Exception:
        logger.exception("A work item could not be dispatched")
        raise


def _slots(limit: int | None) -> AbstractAsyncContextManager[None]:
    return nullcontext() if limit is None else asyncio.Semaphore(limit)
