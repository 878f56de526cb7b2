"""Calls of Durable's client, whose answers differ between task hubs.

On Azure Storage a finished instance is replaced when its id is started again, a running one can be
purged, and an event for an instance that has ended is refused. In memory a finished id is refused,
and such an event is ignored.
"""

import azure.durable_functions as df
import grpc
from durabletask.client import OrchestrationQuery, OrchestrationState, OrchestrationStatus

from shared.transfer.payloads import TransferRequest
from shared.transfer.workflow.orchestrator import attach_blob

# Table storage answers 400 to a query for larger pages.
_PAGE_SIZE = 1_000
_RUNNING = frozenset(
    {
        OrchestrationStatus.PENDING,
        OrchestrationStatus.RUNNING,
        OrchestrationStatus.SUSPENDED,
        OrchestrationStatus.CONTINUED_AS_NEW,
    }
)
_NO_RECEIVER = frozenset({grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION})


def is_running(state: OrchestrationState) -> bool:
    """Whether the instance has not ended."""
    return state.runtime_status in _RUNNING


async def start_instance(
    client: df.DurableFunctionsClient, id_: str, request: TransferRequest
) -> bool:
    """Start the transfer; False when there is one with that id already."""
    try:
        await client.schedule_new_orchestration(
            attach_blob.__name__, input=request.to_json(), instance_id=id_
        )
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
            raise
        return False
    return True


async def restart_instance(
    client: df.DurableFunctionsClient, id_: str, request: TransferRequest
) -> bool:
    """Start the transfer again after it has ended; False when it runs.

    Nothing is purged before it is known that the id was refused for a finished instance.
    """
    if await start_instance(client, id_, request):
        return True
    state = await client.get_orchestration_state(id_)
    if state is not None and is_running(state):
        return False
    await client.purge_orchestration(id_)
    return await start_instance(client, id_, request)


async def raise_event(client: df.DurableFunctionsClient, id_: str, name: str) -> bool:
    """Raise an event for an instance; False when it has ended or does not exist."""
    try:
        await client.raise_orchestration_event(id_, name)
    except grpc.RpcError as error:
        if error.code() not in _NO_RECEIVER:
            raise
        return False
    return True


async def find_instances(
    client: df.DurableFunctionsClient,
    id_prefix: str,
) -> list[OrchestrationState]:
    """Every instance whose id begins so, page by page."""
    query = OrchestrationQuery(
        instance_id_prefix=id_prefix,
        max_instance_count=_PAGE_SIZE,
        fetch_inputs_and_outputs=True,
    )
    return await client.get_all_orchestration_states(query)
