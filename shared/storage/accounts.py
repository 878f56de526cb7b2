"""Clients of the storage accounts, with retries short enough for an activity."""

import re
from typing import Any

import requests
from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import AzureError
from azure.core.pipeline.transport import RequestsTransport
from azure.data.tables import TableServiceClient
from azure.identity import ManagedIdentityCredential
from azure.storage.blob import BlobServiceClient, ExponentialRetry
from requests.adapters import HTTPAdapter

from shared.settings import StorageConnection

# Seconds. The SDK's default retries can sleep for minutes. Long waits are durable timers instead.
CONNECT_TIMEOUT = 10
READ_TIMEOUT = 60
# Bytes. A slice arrives as one piece of memory. With the SDK's default of 4 KiB, it would be joined
# from a thousand.
_READ_AT_ONCE = 4_194_304
# Pooled connections: two for each activity that host.json allows at once, one of them for reading
# ahead. With the library's default of ten, further requests would open connections of their own.
CONNECTIONS = 32


def blob_service(connection: StorageConnection) -> BlobServiceClient:
    """A client of the account, by connection string or managed identity. It sends nothing yet."""
    options: dict[str, Any] = {
        "retry_policy": ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=2),
        "transport": _transport(),
    }
    if connection.connection_string is not None:
        return BlobServiceClient.from_connection_string(connection.connection_string, **options)
    return BlobServiceClient(
        connection.service_uri or "",
        credential=StorageCredential(ManagedIdentityCredential(client_id=connection.client_id)),
        **options,
    )


def table_service(connection: StorageConnection) -> TableServiceClient:
    """A client of the account's tables, reached in the same way. Sends nothing yet."""
    options: dict[str, Any] = {
        "retry_total": 2,
        "retry_backoff_factor": 0.5,
        "transport": _transport(),
    }
    if connection.connection_string is not None:
        return TableServiceClient.from_connection_string(connection.connection_string, **options)
    return TableServiceClient(
        connection.table_uri or "",
        credential=StorageCredential(ManagedIdentityCredential(client_id=connection.client_id)),
        **options,
    )


class StorageCredential:
    """A credential whose every failure is an :class:`AzureError`: there is no token yet.

    From HTML, an empty response or an odd ``expires_on`` of the identity endpoint the library
    raises ``ValueError``, ``KeyError``, ``AttributeError`` and others.
    """

    def __init__(self, credential: TokenCredential) -> None:
        self._credential = credential

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """The token.

        Raises :class:`AzureError`.
        """
        try:
            token = self._credential.get_token(*scopes, **options)
            expires_on = int(token.expires_on)
        except AzureError:
            raise
        except Exception as error:  # noqa: BLE001
            raise AzureError(f"no token: {type(error).__name__}") from None
        text: object = token.token
        if isinstance(text, str) and re.fullmatch(r"[!-~]+", text):
            return AccessToken(text, expires_on)
        raise AzureError("no token: not a token")


def _transport() -> RequestsTransport:
    session = requests.Session()
    adapter = HTTPAdapter(pool_maxsize=CONNECTIONS, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return RequestsTransport(
        session=session,
        connection_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        connection_data_block_size=_READ_AT_ONCE,
    )
