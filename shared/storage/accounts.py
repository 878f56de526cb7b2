"""Clients of the storage accounts, with retries that fit inside an activity."""

from azure.identity import ManagedIdentityCredential
from azure.storage.blob import BlobServiceClient, ExponentialRetry

from shared.settings import StorageConnection

# Seconds. The SDK's own retries can sleep for minutes; longer waits here are durable timers.
CONNECT_TIMEOUT = 10
READ_TIMEOUT = 60
# Bytes. A slice comes in as one piece of memory: the SDK's own 4 KiB are a thousand, joined again.
_READ_AT_ONCE = 4_194_304


def blob_service(connection: StorageConnection) -> BlobServiceClient:
    """A client of the account, by connection string or by managed identity. Sends nothing yet."""
    retry = ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=2)
    if connection.connection_string is not None:
        return BlobServiceClient.from_connection_string(
            connection.connection_string,
            retry_policy=retry,
            connection_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            connection_data_block_size=_READ_AT_ONCE,
        )
    return BlobServiceClient(
        connection.service_uri or "",
        credential=ManagedIdentityCredential(client_id=connection.client_id),
        retry_policy=retry,
        connection_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        connection_data_block_size=_READ_AT_ONCE,
    )
