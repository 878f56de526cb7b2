"""The clients of the storage accounts: how they are authorised, and how long they try."""

from typing import Any, cast

import pytest
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import ManagedIdentityCredential
from azure.storage.blob import BlobServiceClient
from requests.adapters import HTTPAdapter

from shared.settings import StorageConnection
from shared.storage.accounts import (
    CONNECTIONS,
    StorageCredential,
    blob_service,
    table_service,
)

BY_STRING = StorageConnection(
    "Source",
    connection_string="DefaultEndpointsProtocol=https;AccountName=a;AccountKey=c2VjcmV0;"
    "EndpointSuffix=core.windows.net",
)
BY_IDENTITY = StorageConnection(
    "Source",
    service_uri="https://a.blob.core.windows.net",
    table_uri="https://a.table.core.windows.net",
    client_id="id-1",
)


def transport_of(service: BlobServiceClient) -> RequestsTransport:
    """What sends the requests of a client."""
    return cast("RequestsTransport", service._pipeline._transport)


def test_a_connection_string_has_the_key() -> None:
    """Of the account that it names."""
    service = blob_service(BY_STRING)
    assert service.url == "https://a.blob.core.windows.net/"
    assert cast("Any", service.credential).account_key == "c2VjcmV0"


def test_a_service_uri_is_used_with_the_managed_identity() -> None:
    """The one that the connection names."""
    service = blob_service(BY_IDENTITY)
    assert service.url == "https://a.blob.core.windows.net/"
    assert isinstance(service.credential, StorageCredential)
    identity = cast("Any", service.credential)._credential
    assert isinstance(identity, ManagedIdentityCredential)
    assert cast("Any", identity)._credential._config["client_id"] == "id-1"


@pytest.mark.parametrize("connection", [BY_STRING, BY_IDENTITY], ids=["string", "identity"])
def test_the_sdk_retries_for_seconds_only(connection: StorageConnection) -> None:
    """Two retries, soon: an activity must not sleep for minutes."""
    retry = cast("Any", blob_service(connection)._config).retry_policy
    assert (retry.total_retries, retry.initial_backoff, retry.increment_base) == (2, 1, 2)


@pytest.mark.parametrize("connection", [BY_STRING, BY_IDENTITY], ids=["string", "identity"])
def test_requests_have_timeouts_and_read_large_blocks(connection: StorageConnection) -> None:
    """Seconds to connect and between two blocks; a block is a whole slice of RANGE_BYTES."""
    config = transport_of(blob_service(connection)).connection_config
    assert (config.timeout, config.read_timeout) == (10, 60)
    assert config.data_block_size == 4_194_304


def test_the_connections_are_kept_for_all_activities() -> None:
    """The HTTP library itself does not retry."""
    session = cast("Any", transport_of(blob_service(BY_STRING))).session
    for scheme in ("https://", "http://"):
        adapter = session.get_adapter(f"{scheme}a.blob.core.windows.net")
        assert isinstance(adapter, HTTPAdapter)
        assert adapter.max_retries.total == 0
        assert cast("Any", adapter)._pool_maxsize == CONNECTIONS


def test_tables_are_reached_in_the_same_way() -> None:
    """By the key of the connection string, or by the identity that the connection names."""
    assert table_service(BY_STRING).url == "https://a.table.core.windows.net"
    service = table_service(BY_IDENTITY)
    assert service.url == "https://a.table.core.windows.net"
    assert isinstance(service.credential, StorageCredential)
    identity = cast("Any", service.credential)._credential
    assert isinstance(identity, ManagedIdentityCredential)
    assert cast("Any", identity)._credential._config["client_id"] == "id-1"


@pytest.mark.parametrize("connection", [BY_STRING, BY_IDENTITY], ids=["string", "identity"])
def test_requests_for_tables_are_as_bounded(connection: StorageConnection) -> None:
    """Two retries, soon, and the same timeouts."""
    client = cast("Any", table_service(connection))._client
    assert client._config.retry_policy.total_retries == 2
    transport = client._client._pipeline._transport
    assert (transport.connection_config.timeout, transport.connection_config.read_timeout) == (
        10,
        60,
    )
