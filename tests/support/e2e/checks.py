"""What the tests of the whole stack wait for and check."""

from azure.storage.blob import ContainerClient
from durabletask.client import OrchestrationStatus, TaskHubGrpcClient

from infra.local.stack import Stack
from tests.support.waiting import until


def record_of(container: ContainerClient, name: str) -> dict[str, str]:
    """The blob's metadata, once its transfer has written the record."""

    def record() -> dict[str, str] | None:
        metadata = container.get_blob_client(name).get_blob_properties().metadata
        return dict(metadata) if "attachmentstatus" in metadata else None

    return until(record, f"the record of {name}")


def assert_no_orchestration_failed(stack: Stack) -> None:
    """No instance has the runtime status *Failed*, which only a bug of the app gives."""
    client = TaskHubGrpcClient(host_address=stack.info.durable_address)
    states = client.get_all_orchestration_states()
    client.close()
    assert not [s for s in states if s.runtime_status is OrchestrationStatus.FAILED]
