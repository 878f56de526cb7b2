"""Transfers from Durable's instances: their states, and which of them can be cancelled."""

import asyncio
import json
from datetime import timedelta
from typing import Any, cast

import azure.durable_functions as df
import pytest
from durabletask.client import OrchestrationState, OrchestrationStatus

from shared.errors import TransferNotFound, TransferOver
from shared.transfer.service.transfers import (
    cancel_transfer,
    find_by_fingerprint,
    get_transfer,
    transfer_of,
)
from shared.transfer.workflow.orchestrator import CANCEL
from tests.support.engine.clock import EPOCH

CREATED = EPOCH.replace(tzinfo=None)
REQUEST = {"blob": "a.pdf", "mailbox": "a@contoso.com", "itemType": "message", "itemId": "M"}


def instance(
    status: OrchestrationStatus = OrchestrationStatus.RUNNING,
    *,
    id_: str = "t",
    name: str = "attach_blob",
    status_json: dict[str, Any] | None = None,
    output: dict[str, Any] | None = None,
    minutes: int = 0,
) -> OrchestrationState:
    """An instance as the client hands it over: JSON as text, times without their zone."""
    created = CREATED + timedelta(minutes=minutes)
    return OrchestrationState(
        instance_id=id_,
        name=name,
        runtime_status=status,
        created_at=created,
        last_updated_at=created,
        serialized_input=json.dumps(REQUEST),
        serialized_output=json.dumps(output) if output else None,
        serialized_custom_status=json.dumps(status_json) if status_json else None,
        failure_details=None,
    )


class FakeClient:
    """A Durable client with these instances. ``raised`` are the events that were raised."""

    def __init__(self, *states: OrchestrationState) -> None:
        self.states = {each.instance_id: each for each in states}
        self.raised: list[tuple[str, str]] = []

    async def get_orchestration_state(self, id_: str) -> OrchestrationState | None:
        return self.states.get(id_)

    async def get_all_orchestration_states(self, _: object) -> list[OrchestrationState]:
        return list(self.states.values())

    async def raise_orchestration_event(self, id_: str, name: str) -> None:
        self.raised.append((id_, name))


def client_of(fake: FakeClient) -> df.DurableFunctionsClient:
    return cast("df.DurableFunctionsClient", fake)


def test_one_that_has_not_begun_is_queued() -> None:
    """Its input names the item."""
    transfer = transfer_of(instance(OrchestrationStatus.PENDING))
    assert (transfer.state, transfer.blob, transfer.mailbox) == ("queued", "a.pdf", "a@contoso.com")
    assert transfer.completed_at is None


def test_one_that_runs_says_so_by_its_status() -> None:
    """Bytes sent so far; times have their zone."""
    status_json = {"state": "uploading", "blob": "a.pdf", "size": 9, "bytesSent": 3}
    transfer = transfer_of(instance(status_json=status_json))
    assert (transfer.state, transfer.size, transfer.bytes_sent) == ("uploading", 9, 3)
    assert transfer.to_json()["createdAt"] == "2026-11-22T10:00:00Z"


def test_one_that_has_ended_says_so_by_its_output() -> None:
    """Not by the last status it showed."""
    output = {"state": "attached", "blob": "a.pdf", "attachmentId": "A"}
    state = instance(
        OrchestrationStatus.COMPLETED, status_json={"state": "recording"}, output=output
    )
    transfer = transfer_of(state)
    assert (transfer.state, transfer.attachment_id) == ("attached", "A")
    assert transfer.completed_at == transfer.updated_at


@pytest.mark.parametrize(
    ("status", "state", "code"),
    [
        (OrchestrationStatus.FAILED, "failed", "InternalError"),
        (OrchestrationStatus.TERMINATED, "cancelled", None),
    ],
)
def test_ends_of_the_engines_own_are_told(
    status: OrchestrationStatus, state: str, code: str | None
) -> None:
    """A bug of the app, and an administrator who terminates an instance."""
    status_json = {"state": "uploading", "blob": "a.pdf"}
    transfer = transfer_of(instance(status, status_json=status_json))
    assert transfer.state == state
    assert (transfer.error.code if transfer.error else None) == code
    assert transfer.completed_at is not None


def test_what_is_no_transfer_is_not_found() -> None:
    """An entity's instance, or none."""
    fake = FakeClient(instance(id_="@mailbox_budget@x", name="@mailbox_budget@x"))
    for id_ in ("@mailbox_budget@x", "nope"):
        with pytest.raises(TransferNotFound):
            asyncio.run(get_transfer(client_of(fake), id_))


def test_instances_are_sorted_here_since_engines_sort_their_own_way() -> None:
    """Newest first, entities left out."""
    entity = instance(id_="@item_turn@x", name="@item_turn@x")
    states = [instance(id_=f"t{minute}", minutes=minute) for minute in (2, 0, 1)]
    found = asyncio.run(find_by_fingerprint(client_of(FakeClient(entity, *states)), "t"))
    assert [each.id for each in found] == ["t2", "t1", "t0"]


def test_one_that_says_when_it_was_requested_was_created_then() -> None:
    """As it is listed; the engine's own time is a moment later."""
    state = instance()
    state.serialized_input = json.dumps(REQUEST | {"createdAt": "2026-11-22T09:59:59.5Z"})
    assert transfer_of(state).to_json()["createdAt"] == "2026-11-22T09:59:59.500000Z"


def test_one_without_an_address_says_so() -> None:
    """As the blob's record does."""
    refused = {"code": "Unaddressed", "message": "x"}
    output = {"state": "failed", "blob": "a.pdf", "error": refused}
    state = instance(OrchestrationStatus.COMPLETED, output=output)
    state.serialized_input = json.dumps({"blob": "a.pdf", "refused": refused})
    assert transfer_of(state).state == "unaddressed"


@pytest.mark.parametrize("state", ["queued", "waiting", "uploading"])
def test_one_that_runs_is_cancelled_by_an_event(state: str) -> None:
    """Twice is harmless."""
    fake = FakeClient(instance(status_json={"state": state, "blob": "a.pdf"}))
    for _ in range(2):
        asyncio.run(cancel_transfer(client_of(fake), "t"))
    assert fake.raised == [("t", CANCEL)] * 2


@pytest.mark.parametrize("state", ["recording", "attached", "failed", "superseded"])
def test_a_cancel_that_comes_too_late_says_so(state: str) -> None:
    """Its end is settled already, written or not."""
    running = state == "recording"
    status = OrchestrationStatus.RUNNING if running else OrchestrationStatus.COMPLETED
    status_json = {"state": state, "blob": "a.pdf"}
    fake = FakeClient(
        instance(status, status_json=status_json, output=None if running else status_json)
    )
    with pytest.raises(TransferOver):
        asyncio.run(cancel_transfer(client_of(fake), "t"))
    assert fake.raised == []


def test_one_that_is_cancelled_already_is_cancelled() -> None:
    """No event, no error."""
    output = {"state": "cancelled", "blob": "a.pdf"}
    fake = FakeClient(instance(OrchestrationStatus.COMPLETED, output=output))
    assert asyncio.run(cancel_transfer(client_of(fake), "t")).state == "cancelled"
    assert fake.raised == []
