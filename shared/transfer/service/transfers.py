"""Transfers as the API shows them, read from Durable's instances."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal

import azure.durable_functions as df
from durabletask.client import OrchestrationState, OrchestrationStatus
from pydantic import Field

from shared.errors import InternalError, TransferNotFound, TransferOver
from shared.transfer.payloads import Failure, Payload, State, TransferRequest, TransferStatus
from shared.transfer.service.instances import find_instances, is_running, raise_event
from shared.transfer.workflow.orchestrator import CANCEL, attach_blob

MAX_LISTED = 1_000
_ENDED = [
    OrchestrationStatus.COMPLETED,
    OrchestrationStatus.FAILED,
    OrchestrationStatus.TERMINATED,
]


class Transfer(TransferStatus):
    """A transfer as the HTTP API shows it. Times are UTC."""

    id: str
    state: State
    created_at: datetime | None = None
    updated_at: datetime | None = None
    completed_at: datetime | None = None
    recorded: Literal[True] | None = Field(default=None, exclude=True)

    def to_json(self) -> dict[str, object]:
        """All fields. Those that are not known yet are null."""
        return self.model_dump(mode="json", by_alias=True)


class Transfers(Payload):
    """A list of transfers. ``truncated``: there are more than it may hold."""

    items: tuple[Transfer, ...]
    truncated: bool

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
    # A custom status that would be too long has no names; the input always has the blob's.
    names = {"blob": request.blob or status.blob}
    updated = _utc(state.last_updated_at)
    return Transfer(
        id=state.instance_id,
        created_at=_utc(state.created_at),
        updated_at=updated,
        completed_at=None if is_running(state) else updated,
        **(request.status.model_dump() | status.model_dump(exclude_none=True) | names),
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


async def find_by_fingerprint(
    client: df.DurableFunctionsClient, fingerprint: str
) -> list[Transfer]:
    """The transfers of one content to one item that are in Durable's history, newest first."""
    return _newest_first(await find_instances(client, id_prefix=fingerprint))


async def list_transfers(
    client: df.DurableFunctionsClient,
    *,
    since: datetime | None = None,
    state: State | None = None,
    mailbox: str | None = None,
    top: int = MAX_LISTED,
) -> Transfers:
    """The transfers created since that time, newest first. The default is the last 24 hours.

    Durable filters by time alone, and each storage provider sorts differently: the rest is
    done here.
    """
    since = since or datetime.now(UTC) - timedelta(days=1)
    found = [
        each
        for each in _newest_first(await find_instances(client, created_from=since))
        if (state is None or each.state == state)
        and (mailbox is None or (each.mailbox or "").lower() == mailbox.lower())
    ]
    return Transfers(items=tuple(found[:top]), truncated=len(found) > top)


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
