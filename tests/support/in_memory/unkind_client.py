"""Durable's client as Azure's task hub answers it: starts replace, purges take what runs away."""

import asyncio
import json
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Any, Protocol

import grpc
from durabletask.client import OrchestrationQuery, OrchestrationState, OrchestrationStatus

from tests.support.engine.adversary import Adversary
from tests.support.engine.unkind_engine import UnkindEngine
from tests.support.in_memory.app import AlreadyExists

# Table storage answers 400 to a query for larger pages.
MAX_PAGE = 1_000


class Answered(grpc.RpcError):
    """What Durable's client raises for any other answer than success."""

    def __init__(self, code: grpc.StatusCode) -> None:
        super().__init__(code)
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code


class TaskHub(Protocol):
    """What the client changes."""

    adversary: Adversary

    def latest(self, instance_id: str) -> UnkindEngine | None:
        """The instance of that id."""

    def all_latest(self) -> list[UnkindEngine]:
        """All instances."""

    def created_at(self, engine: UnkindEngine) -> datetime:
        """When it was started."""

    def now(self) -> datetime:
        """The time."""

    def start(self, instance_id: str, payload: dict[str, Any]) -> None:
        """Start an instance in place of the one of that id, if there is one."""

    def start_later(self, instance_id: str, payload: dict[str, Any]) -> None:
        """The same, some steps later."""

    def take_away(self, instance_id: str) -> None:
        """Delete the instance; what it has scheduled runs on."""

    def go_on(self) -> None:
        """Let others work meanwhile."""


class UnkindClient:
    """The calls that triggers make. Between any two of them, the task hub goes on."""

    def __init__(self, hub: TaskHub) -> None:
        self._hub = hub

    async def schedule_new_orchestration(
        self,
        _orchestrator: str,
        *,
        input: dict[str, Any],  # noqa: A002 (the SDK's own name)
        instance_id: str,
    ) -> str:
        await self._meanwhile()
        hub, payload = self._hub, json.loads(json.dumps(input))
        known = hub.latest(instance_id)
        if known is not None and not known.is_over:
            raise AlreadyExists
        hub.start(instance_id, payload)
        if hub.adversary.strikes("start replaces a run"):
            # Another one found none that runs, too, and its message is on its way.
            hub.start_later(instance_id, payload)
        return instance_id

    async def get_orchestration_state(self, instance_id: str) -> OrchestrationState | None:
        await self._meanwhile()
        engine = self._hub.latest(instance_id)
        return None if engine is None else self._state(engine)

    async def get_all_orchestration_states(
        self, query: OrchestrationQuery
    ) -> list[OrchestrationState]:
        await self._meanwhile()
        self._hub.adversary.confirm("query of pages")
        if query.max_instance_count is None or query.max_instance_count > MAX_PAGE:
            raise Answered(grpc.StatusCode.INVALID_ARGUMENT)
        prefix = query.instance_id_prefix or ""
        found = [each for each in self._hub.all_latest() if each.instance_id.startswith(prefix)]
        return [self._state(each) for each in found]

    async def purge_orchestration(self, instance_id: str) -> None:
        await self._meanwhile()
        self._hub.take_away(instance_id)

    async def raise_orchestration_event(self, instance_id: str, name: str) -> None:
        await self._meanwhile()
        engine = self._hub.latest(instance_id)
        if engine is None:
            self._hub.adversary.confirm("event without receiver")
            raise Answered(grpc.StatusCode.NOT_FOUND)
        if engine.is_over:
            self._hub.adversary.confirm("event refused")
            raise Answered(grpc.StatusCode.FAILED_PRECONDITION)
        engine.raise_event(name)

    async def _meanwhile(self) -> None:
        # Of two callers at once, either may be faster.
        for _ in range(self._hub.adversary.random.randrange(4)):
            await asyncio.sleep(0)
        self._hub.go_on()

    def _state(self, engine: UnkindEngine) -> OrchestrationState:
        status = OrchestrationStatus.RUNNING
        if engine.failed is not None:
            status = OrchestrationStatus.FAILED
        elif engine.output is not None:
            status = OrchestrationStatus.COMPLETED
        return OrchestrationState(
            engine.instance_id,
            engine.orchestrator.__name__,
            status,
            self._hub.created_at(engine),
            self._hub.now(),
            json.dumps(engine.payload),
            None if engine.output is None else json.dumps(engine.output),
            json.dumps(engine.statuses[-1]) if engine.statuses else None,
            None,
        )


class _Inline(ThreadPoolExecutor):
    """Runs calls in the calling thread, so that a seed gives the same run again."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 (the caller's)
            future.set_exception(error)
        return future


class InlineLoop:
    """An event loop that runs coroutines with all their calls in this thread."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._runner.get_loop().set_default_executor(_Inline(1))

    def run[Result](self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine to its end."""
        return self._runner.run(work)

    def close(self) -> None:
        """Close the loop."""
        self._runner.close()
