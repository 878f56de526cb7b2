"""Transfers as the API shows them, read from Durable's instances."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

import azure.durable_functions as df
from durabletask.client import OrchestrationState, OrchestrationStatus
from pydantic import Field

from shared.errors import InternalError, TransferNotFound, TransferOver
from shared.transfer.payloads import Failure, State, TransferRequest, TransferStatus
from shared.transfer.service.instances import find_instances, is_running, raise_event
from shared.transfer.workflow.orchestrator import CANCEL, attach_blob

_ENDED = [
    OrchestrationStatus.COMPLETED,
    OrchestrationStatus.FAILED,
    OrchestrationStatus.TERMINATED,
]


class Transfer(TransferStatus):
    """A transfer as the HTTP API shows it. Times are UTC."""

    id: str
    state: State
    updated_at: datetime | None = None
    completed_at: datetime | None = None
    recorded: Literal[True] | None = Field(default=None, exclude=True)

    def to_json(self) -> dict[str, object]:
        """All fields. Those that are not known yet are null."""
        return self.model_dump(mode="json", by_alias=True)


def transfer_of(state: OrchestrationState) -> Transfer:
    """The transfer of an instance of ``attach_blob``."""
    request = TransferRequest.from_json(state.get_input(dict) or {"blob": ""})
    last = state.get_output(dict) if _has_output(state) else state.get_custom_status(dict)
    status = TransferStatus.from_json(last or request.status.to_json())
    if state.runtime_status is OrchestrationStatus.FAILED:
        bug = Failure.of(InternalError(state.instance_id))
        error = status.error or bug
        status = status.model_copy(update={"state": "failed", "error": error})
    elif state.runtime_status is OrchestrationStatus.TERMINATED:
        status = status.model_copy(update={"state": "cancelled"})
    elif status.state == "failed" and request.unaddressed:
        status = status.model_copy(update={"state": "unaddressed"})
    # A custom status that would be too long has no names; the input always has the blob's.
    names = {"blob": request.blob or status.blob}
    # Transfers of version 1.0 do not say.
    created = {"created_at": request.created_at or _utc(state.created_at)}
    updated = _utc(state.last_updated_at)
    return Transfer(
        id=state.instance_id,
        updated_at=updated,
        completed_at=None if is_running(state) else updated,
        **(request.status.model_dump() | status.model_dump(exclude_none=True) | names | created),
    )


def _has_output(state: OrchestrationState) -> bool:
    return state.runtime_status is OrchestrationStatus.COMPLETED and bool(state.serialized_output)


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


async def get_transfer(client: df.DurableFunctionsClient, transfer_id: str) -> Transfer:
    """The transfer with this id.

    Raises :class:`TransferNotFound`.
    """
    return transfer_of(await _state(client, transfer_id))


async def _state(client: df.DurableFunctionsClient, transfer_id: str) -> OrchestrationState:
    state = await client.get_orchestration_state(transfer_id)
    if state is None or state.name != attach_blob.__name__:
        raise TransferNotFound(transfer_id)
    return state


async def exists(client: df.DurableFunctionsClient, transfer_id: str) -> bool:
    """Whether Durable has an instance with this id."""
    return await client.get_orchestration_state(transfer_id) is not None


async def find_by_fingerprint(
    client: df.DurableFunctionsClient, fingerprint: str
) -> list[Transfer]:
    """The transfers of one content to one item that are in Durable's history, newest first."""
    return _newest_first(await find_instances(client, fingerprint))


def _newest_first(states: Iterable[OrchestrationState]) -> list[Transfer]:
    # Entities are instances, too.
    ours = [transfer_of(each) for each in states if each.name == attach_blob.__name__]
    return sorted(ours, key=lambda each: (str(each.created_at), each.id), reverse=True)


async def cancel_transfer(client: df.DurableFunctionsClient, transfer_id: str) -> Transfer:
    """Request the end of a transfer. Does nothing when it is cancelled already.

    Raises :class:`TransferNotFound`, and :class:`TransferOver` when it ended otherwise.
    """
    state = await _state(client, transfer_id)
    transfer = transfer_of(state)
    if is_running(state) and transfer.state == "recording":
        raise TransferOver(transfer_id, "being recorded")
    if is_running(state):
        if await raise_event(client, transfer_id, CANCEL):
            return transfer
        # It has ended since it was read.
        transfer = transfer_of(await _state(client, transfer_id))
    if transfer.state != "cancelled":
        raise TransferOver(transfer_id, transfer.state)
    return transfer


async def purge_completed(client: df.DurableFunctionsClient, before: datetime) -> int:
    """Purge the transfers that have ended and were created before that time; their number.

    Durable filters by the time of creation alone. The blobs' records stay.
    """
    purged = await client.purge_orchestrations_by(created_time_to=before, runtime_status=_ENDED)
    return purged.deleted_instance_count
