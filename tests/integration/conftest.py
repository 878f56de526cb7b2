"""A small app in the local Functions host, for the tests of the host."""

from collections.abc import Iterator

import pytest

from tests.support.host_app import HostApp, running_host_app


@pytest.fixture(scope="module")
def host_app(azurite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostApp]:
    """The small app, running; shared by the tests of a module."""
    with running_host_app(azurite, tmp_path_factory.mktemp("notes")) as app:
        yield app
