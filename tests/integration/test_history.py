"""Purging the history, on Durable's in-memory engine."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import azure.durable_functions as df
import pytest
from durabletask.client import OrchestrationState
from durabletask.task import OrchestrationContext
from durabletask.worker import TaskHubGrpcWorker

from infra.local.functions_host.durable.backend import DurableBackend
from shared.settings import Settings
from shared.triggers.timer import history_functions

DAYS = 30


@pytest.fixture
def engine() -> Iterator[DurableBackend]:
    """An engine whose transfers end when an event ends them."""

    def attach_blob(ctx: OrchestrationContext, _: object) -> Any:
        yield ctx.wait_for_external_event("end")

    backend = DurableBackend()
    backend.start()
    with TaskHubGrpcWorker(host_address=backend.address) as worker:
        worker.add_orchestrator(attach_blob)
        worker.start()  # type: ignore[no-untyped-call]
        yield backend
    backend.stop()


def purge(client: str, now: datetime) -> Any:
    """Run the function as the worker does, at that time."""
    app = df.DFApp()
    settings = Settings.model_validate({"history_days": DAYS})
    app.register_functions(history_functions(settings, lambda: now))
    (function,) = [f for f in app.get_functions() if f.get_function_name() == "purge_history"]
    return function.get_user_function()(timer=None, client=client)


async def transfer(
    client: df.DurableFunctionsClient, name: str, *, over: bool
) -> OrchestrationState:
    """The transfer with that id, as it is now."""
    await client.schedule_new_orchestration("attach_blob", instance_id=name)
    if over:
        await client.raise_orchestration_event(name, "end")
        state = await client.wait_for_orchestration_completion(name, timeout=30)
    else:
        state = await client.wait_for_orchestration_start(name, timeout=30)
    assert state is not None
    return state


def test_only_what_is_old_and_over_is_purged(engine: DurableBackend) -> None:
    """A young transfer stays, and so does one that runs, however old it is."""

    async def run() -> dict[str, bool]:
        configuration = json.dumps({"rpcBaseUrl": f"http://{engine.address}"})
        client = df.DurableFunctionsClient(configuration)
        await transfer(client, "old", over=True)
        await transfer(client, "running", over=False)
        young = await transfer(client, "young", over=True)
        created = young.created_at.replace(tzinfo=UTC)
        await purge(configuration, created + timedelta(days=DAYS))
        names = ("old", "running", "young")
        kept = {each: await client.get_orchestration_state(each) is not None for each in names}
        await client.close()
        return kept

    assert asyncio.run(run()) == {"old": False, "running": True, "young": True}
