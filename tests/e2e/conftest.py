"""The whole local stack, as `make start` runs it, shared by the tests of this folder."""

from collections.abc import Iterator

import pytest

from infra.local.stack import Stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A running stack on free ports, with small ranges so that files have many."""
    settings = {"RANGE_BYTES": "1000000", "RANGES_PER_ACTIVITY": "2"}
    with Stack(settings=settings) as running:
        yield running
