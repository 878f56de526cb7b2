"""Calls of Durable's client, against a task hub that is as unkind as Azure's."""

import asyncio
import json
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, cast

import azure.durable_functions as df
import grpc
import pytest
from durabletask.client import (
    OrchestrationQuery,
    OrchestrationState,
    OrchestrationStatus,
)

from shared.errors import TransferOver
from shared.transfer.payloads import TransferRequest
from shared.transfer.service.instances import (
    find_instances,
    raise_event,
    restart_instance,
    start_instance,
)
from shared.transfer.service.transfers import cancel_transfer, find_by_fingerprint
from tests.support.engine.clock import EPOCH

RUNNING, ENDED = OrchestrationStatus.RUNNING, OrchestrationStatus.COMPLETED
REQUEST = TransferRequest(blob="a.pdf")


class Refusal(grpc.RpcError):
    """An answer of the task hub that is no success."""

    def __init__(self, code: grpc.StatusCode) -> None:
        super().__init__()
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code


class TaskHub:
    """Refuses what Azure's refuses. ``purged`` are the ids whose history was purged.

    ``replaces``: starting a finished id replaces it, as in Azure; else it is refused, as in memory.
    ``before_start`` is what happens just before an instance is started.
    """

    def __init__(self, *, replaces: bool) -> None:
        self.replaces = replaces
        self.instances: dict[str, OrchestrationStatus] = {}
        self.purged: list[str] = []
        self.events: list[tuple[str, str]] = []
        self.output: dict[str, str] = {"state": "failed", "blob": "a.pdf"}
        self.before_start: Callable[[], object] = lambda: None

    def as_client(self) -> df.DurableFunctionsClient:
        return cast("df.DurableFunctionsClient", self)

    async def schedule_new_orchestration(
        self,
        _name: str,
        *,
        input: dict[str, Any],  # noqa: A002, ARG002 (the SDK's own name)
        instance_id: str,
    ) -> str:
        self.before_start()
        status = self.instances.get(instance_id)
        if status is RUNNING or (status is not None and not self.replaces):
            raise Refusal(grpc.StatusCode.ALREADY_EXISTS)
        self.instances[instance_id] = RUNNING
        return instance_id

    async def get_orchestration_state(self, id_: str) -> OrchestrationState | None:
        status = self.instances.get(id_)
        return None if status is None else _state(id_, status, self.output)

    async def purge_orchestration(self, id_: str) -> None:
        self.purged.append(id_)
        self.instances.pop(id_, None)

    async def raise_orchestration_event(self, id_: str, name: str) -> None:
        status = self.instances.get(id_)
        if status is None:
            raise Refusal(grpc.StatusCode.NOT_FOUND)
        if status is not RUNNING:
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION)
        self.events.append((id_, name))

    async def get_all_orchestration_states(
        self, query: OrchestrationQuery
    ) -> list[OrchestrationState]:
        if not 1 <= (query.max_instance_count or 0) <= 1_000:
            # Table storage takes no larger page.
            raise Refusal(grpc.StatusCode.UNKNOWN)
        return [_state(id_, status, self.output) for id_, status in self.instances.items()]


def _state(id_: str, status: OrchestrationStatus, output: dict[str, str]) -> OrchestrationState:
    return OrchestrationState(
        instance_id=id_,
        name="attach_blob",
        runtime_status=status,
        created_at=EPOCH,
        last_updated_at=EPOCH,
        serialized_input=None,
        serialized_output=json.dumps(output),
        serialized_custom_status='{"state": "uploading", "blob": "a.pdf"}',
        failure_details=None,
    )


@pytest.mark.parametrize("replaces", [True, False])
def test_a_running_instance_is_joined_and_never_purged(*, replaces: bool) -> None:
    """By a trigger, and by a request that found it failed a moment ago."""
    hub = TaskHub(replaces=replaces)
    hub.instances["t"] = RUNNING
    assert not asyncio.run(start_instance(hub.as_client(), "t", REQUEST))
    assert not asyncio.run(restart_instance(hub.as_client(), "t", REQUEST))
    assert hub.purged == []


@pytest.mark.parametrize("replaces", [True, False])
def test_of_two_requests_after_a_failure_one_starts_it(*, replaces: bool) -> None:
    """The other one joins, and the transfer that runs stays."""
    hub = TaskHub(replaces=replaces)
    hub.instances["t"] = ENDED

    async def both() -> list[bool]:
        restarts = [restart_instance(hub.as_client(), "t", REQUEST) for _ in range(2)]
        return list(await asyncio.gather(*restarts))

    assert sorted(asyncio.run(both())) == [False, True]
    assert hub.instances == {"t": RUNNING}
    assert len(hub.purged) <= (0 if replaces else 1)


@pytest.mark.parametrize("replaces", [True, False])
def test_one_that_begins_just_before_a_restart_is_joined(*, replaces: bool) -> None:
    """A trigger was faster: nothing of it is purged."""
    hub = TaskHub(replaces=replaces)
    hub.instances["t"] = ENDED
    hub.before_start = lambda: hub.instances.update(t=RUNNING)
    assert not asyncio.run(restart_instance(hub.as_client(), "t", REQUEST))
    assert hub.purged == []


def test_a_duplicate_of_an_event_restarts_nothing_that_is_refused() -> None:
    """In memory a finished id is refused: the transfer was there before."""
    hub = TaskHub(replaces=False)
    hub.instances["t"] = ENDED
    assert not asyncio.run(start_instance(hub.as_client(), "t", REQUEST))
    assert hub.purged == []


@pytest.mark.parametrize("status", [ENDED, None])
def test_an_event_for_an_instance_that_is_over_or_gone_is_no_failure(
    status: OrchestrationStatus | None,
) -> None:
    """Azure's engine refuses it, the one in memory ignores it."""
    hub = TaskHub(replaces=True)
    if status:
        hub.instances["t"] = status
    assert not asyncio.run(raise_event(hub.as_client(), "t", "cancel"))
    hub.instances["t"] = RUNNING
    assert asyncio.run(raise_event(hub.as_client(), "t", "cancel"))
    assert hub.events == [("t", "cancel")]


def test_other_answers_of_the_engine_are_failures() -> None:
    """An engine that cannot be reached has neither started nor joined anything."""
    hub = TaskHub(replaces=True)

    def unreachable() -> None:
        raise Refusal(grpc.StatusCode.UNAVAILABLE)

    hub.before_start = unreachable
    with pytest.raises(Refusal):
        asyncio.run(start_instance(hub.as_client(), "t", REQUEST))


@pytest.mark.parametrize(
    ("end", "over"), [("attached", True), ("failed", True), ("cancelled", False)]
)
def test_a_transfer_that_ends_while_it_is_cancelled_is_shown_as_it_is(
    end: str, *, over: bool
) -> None:
    """No 503: the caller sees how it ended."""
    hub = TaskHub(replaces=True)
    hub.instances["t"] = RUNNING
    read = hub.get_orchestration_state

    async def read_and_end(id_: str) -> OrchestrationState | None:
        state = await read(id_)
        hub.instances[id_] = ENDED
        hub.output = {"state": end, "blob": "a.pdf"}
        return state

    hub.get_orchestration_state = read_and_end  # type: ignore[method-assign]
    with pytest.raises(TransferOver) if over else nullcontext():
        cancelled = asyncio.run(cancel_transfer(hub.as_client(), "t"))
        assert cancelled.state == "cancelled"


def test_every_query_goes_page_by_page() -> None:
    """A page of more than 1,000 is refused."""
    hub = TaskHub(replaces=True)
    hub.instances["t"] = RUNNING
    assert len(asyncio.run(find_instances(hub.as_client(), "t"))) == 1
    assert len(asyncio.run(find_by_fingerprint(hub.as_client(), "t"))) == 1
