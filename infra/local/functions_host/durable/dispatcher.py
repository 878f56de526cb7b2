"""Carries work from the engine to the app's functions, and their answers back."""

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
from infra.local.functions_host.durable.backend import GRPC_OPTIONS
from infra.local.functions_host.errors import InvocationFailedError, WorkerGivenUpError
from infra.local.functions_host.functions import Function
from infra.local.functions_host.host_json import HostJson
from infra.local.functions_host.invoker import Invoker
from infra.local.functions_host.worker.rpc import Value

logger = logging.getLogger(__name__)


class DurablePump:
    """Takes work items as they come; each is an invocation that lasts until it is answered.

    Entities share the limit of orchestrators, as in Azure.
    """

    def __init__(
        self, address: str, functions: tuple[Function, ...], invoke: Invoker, limits: HostJson
    ) -> None:
        self._channel = grpc.insecure_channel(address, options=GRPC_OPTIONS)
        self._stub: Any = sidecar.TaskHubSidecarServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._names = messages.FunctionNames(functions)
        self._invoke = invoke
        self._activity_slots = _slots(limits.max_activities)
        self._orchestrator_slots = _slots(limits.max_orchestrators)
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread: threading.Thread

    def start(self) -> None:
        """Begin to take work, in the running loop."""
        loop = asyncio.get_running_loop()
        self._work = self._stub.GetWorkItems(pb.GetWorkItemsRequest())
        self._thread = threading.Thread(target=self._listen, args=(loop,), name="durable-pump")
        self._thread.start()

    async def stop(self) -> None:
        """Take no more work and forget what is under way."""
        self._work.cancel()
        await asyncio.to_thread(self._thread.join)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._channel.close()

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            for item in self._work:
                loop.call_soon_threadsafe(self._take, item)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.CANCELLED:
                logger.critical("Durable work ended: %s", error)

    def _take(self, item: pb.WorkItem) -> None:
        match item.WhichOneof("request"):
            case "orchestratorRequest":
                work = self._orchestrate(item)
            case "activityRequest":
                work = self._act(item)
            case "entityRequestV2":
                work = self._operate(item)
            case other:
                logger.error("Work of an unknown kind was dropped: %s", other)
                return
        task = asyncio.create_task(self._see_through(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _see_through(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except WorkerGivenUpError as error:
            logger.error("Durable work is left undone: %s", error)  # noqa: TRY400 (no news in it)
        except Exception:
            logger.exception("Durable work could not be carried")
            raise

    async def _orchestrate(self, item: pb.WorkItem) -> None:
        request = item.orchestratorRequest
        name = messages.orchestration_name(request)
        try:
            function = self._names.orchestration(name)
            async with self._orchestrator_slots:
                result = await self._invoke(function, messages.packed(request))
            response = messages.unpacked(result, pb.OrchestratorResponse)
            for sentence in messages.failures(response):
                logger.error("Orchestration %s (%s) failed: %s", request.instanceId, name, sentence)
        except InvocationFailedError as error:
            # An orchestrator's own exceptions come in its response: this is a fault in the app's
            # wiring, and Azure ends the instance too.
            logger.error("Orchestrator %s could not run: %s\n%s", name, error, error.stack)  # noqa: TRY400
            response = messages.failed_orchestration(request.instanceId, error)
        response.completionToken = item.completionToken
        await self._complete(self._stub.CompleteOrchestratorTask, response)

    async def _act(self, item: pb.WorkItem) -> None:
        request = item.activityRequest
        response = pb.ActivityResponse(
            instanceId=request.orchestrationInstance.instanceId,
            taskId=request.taskId,
            completionToken=item.completionToken,
        )
        try:
            function = self._names.activity(request.name)
            argument = Value(kind="json", value=request.input.value or "null")
            async with self._activity_slots:
                result = await self._invoke(function, argument)
            response.result.value = "null" if result is None else result["value"]
        except InvocationFailedError as error:
            logger.warning("Activity %s failed: %s", request.name, error)
            response.failureDetails.CopyFrom(messages.failure_details(error))
        await self._complete(self._stub.CompleteActivityTask, response)

    async def _operate(self, item: pb.WorkItem) -> None:
        batch, operations = messages.entity_batch(item.entityRequestV2)
        try:
            function = self._names.entity(batch.instanceId)
            async with self._orchestrator_slots:
                result = await self._invoke(function, messages.packed(batch))
            response = messages.unpacked(result, pb.EntityBatchResult)
        except InvocationFailedError as error:
            logger.error("Entity %s could not run: %s\n%s", batch.instanceId, error, error.stack)  # noqa: TRY400
            response = messages.failed_batch(batch, error)
        response.operationInfos.extend(operations)
        response.completionToken = item.completionToken
        await self._complete(self._stub.CompleteEntityTask, response)

    @staticmethod
    async def _complete(call: Callable[[Any], Any], response: object) -> None:
        await asyncio.to_thread(call, response)


def _slots(limit: int | None) -> AbstractAsyncContextManager[None]:
    return nullcontext() if limit is None else asyncio.Semaphore(limit)
