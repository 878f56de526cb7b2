"""Purging the history, on Durable's in-memory engine."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import azure.durable_functions as df
import pytest
from azure.core.exceptions import ServiceRequestError
from azure.data.tables import TableServiceClient
from durabletask.client import OrchestrationState
from durabletask.task import OrchestrationContext
from durabletask.worker import TaskHubGrpcWorker

from infra.local.functions_host.durable.backend import DurableBackend
from shared.settings import Settings, StorageConnection
from shared.storage.accounts import table_service
from shared.storage.ledger import Ledger, LedgerEntry
from shared.storage.listed import ALL, RUNNING, Listed
from shared.storage.listing import TABLE as LISTING
from shared.storage.listing import Listing
from shared.triggers.timer import history_functions
from tests.support.in_memory.tables import MemoryTables

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


def purge(client: str, now: datetime, tables: TableServiceClient) -> Any:
    """Run the function as the worker does, at that time."""
    app = df.DFApp()
    settings = Settings.model_validate({"history_days": DAYS})
    ledger, listing = Ledger(tables), Listing(tables, lambda: now)
    app.register_functions(history_functions(settings, ledger, listing, lambda: now))
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
        await purge(configuration, created + timedelta(days=DAYS), MemoryTables().as_client())
        names = ("old", "running", "young")
        kept = {each: await client.get_orchestration_state(each) is not None for each in names}
        await client.close()
        return kept

    assert asyncio.run(run()) == {"old": False, "running": True, "young": True}


class Hub:
    """Durable's client with these instances, and nothing to purge."""

    def __init__(self, *ids: str) -> None:
        self.ids = ids

    async def get_orchestration_state(self, id_: str) -> object:
        return id_ if id_ in self.ids else None

    async def purge_orchestrations_by(self, **_: object) -> Any:
        return SimpleNamespace(deleted_instance_count=0)


def listed(id_: str, started: datetime, state: str = "attached") -> Listed:
    return Listed(id_, started, state, "a.pdf", None, {})


def purge_tables(tables: TableServiceClient, now: datetime, hub: Hub) -> None:
    """Run the function at that time, with this client of Durable."""
    app = df.DFApp()
    settings = Settings.model_validate({"history_days": DAYS})
    ledger, listing = Ledger(tables), Listing(tables, lambda: now)
    app.register_functions(history_functions(settings, ledger, listing, lambda: now))
    (function,) = [f for f in app.get_functions() if f.get_function_name() == "purge_history"]
    purge_history: Any = function.get_user_function()
    # Without the decorator that makes the client.
    asyncio.run(purge_history.__wrapped__(timer=None, client=hub))


def test_rows_of_ended_transfers_are_purged_as_well(azurite: str) -> None:
    """From ledger and listing. What runs stays; what only seems to run goes with its instance."""
    now = datetime.now(UTC)
    young, old = now - timedelta(days=1), now - timedelta(days=DAYS, hours=1)
    with table_service(StorageConnection("AzureWebJobsStorage", azurite)) as tables:
        tables.delete_table(LISTING)
        listing, ledger = Listing(tables, lambda: now), Ledger(tables)
        for row in (
            listed("ab-1", old),
            listed("ab-2", young),
            listed("ab-3", old, RUNNING),
            listed("ab-4", old, RUNNING),
        ):
            (listing.begin if row.is_running else listing.end)(row)
            ledger.put(LedgerEntry(row.id, state="open" if row.is_running else "attached"))
        purge_tables(tables, now, Hub("ab-3"))
        left = [row.id for row in listing.newest([ALL], old, "", 10) if isinstance(row, Listed)]
        assert left == ["ab-2", "ab-3"]
        # The ledger's rows were written just now.
        assert ledger.get("ab-1") is not None
        purge_tables(tables, now + timedelta(days=DAYS, minutes=1), Hub("ab-3", "ab-4"))
        kept = [ledger.get(f"ab-{number}") is not None for number in (1, 2, 3, 4)]
        assert kept == [False, False, True, True]
        assert list(listing.newest([ALL], old, "", 10)) == [listed("ab-3", old, RUNNING)]


def test_tables_out_of_reach_are_purged_another_day(caplog: pytest.LogCaptureFixture) -> None:
    """The function does not fail: Durable's histories are purged."""

    class Unreachable(MemoryTables):
        def get_table_client(self, name: str) -> Any:
            table = super().get_table_client(name)

            def refuse(*_: object, **__: object) -> Any:
                raise ServiceRequestError("The connection was refused.")

            table.page = refuse  # type: ignore[method-assign]
            return table

    purge_tables(Unreachable().as_client(), datetime.now(UTC), Hub())
    assert "the ledger is not purged today" in caplog.text
