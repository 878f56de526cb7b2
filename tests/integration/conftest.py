"""A small app in the local Functions host, and a table service."""

from collections.abc import Iterator

import pytest
from azure.data.tables import TableServiceClient

from shared.settings import StorageConnection
from shared.storage.accounts import table_service
from tests.support.host_app import HostApp, running_host_app
from tests.support.in_memory.tables import MemoryTables


@pytest.fixture(scope="module")
def host_app(azurite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostApp]:
    """The small app, running; shared by the tests of a module."""
    with running_host_app(azurite, tmp_path_factory.mktemp("notes")) as app:
        yield app


@pytest.fixture(params=["azurite", "memory"])
def service(request: pytest.FixtureRequest, azurite: str) -> Iterator[TableServiceClient]:
    """A table service, and the one in memory that other suites use in its place."""
    if request.param == "memory":
        yield MemoryTables().as_client()
        return
    with table_service(StorageConnection("AzureWebJobsStorage", azurite)) as client:
        yield client
