"""What the fault suites share: a bench to try transfers on."""

from collections.abc import Iterator

import pytest

from tests.support.faults.testbed import Bench


@pytest.fixture(scope="module")
def bench(azurite: str) -> Iterator[Bench]:
    """A bench for a module's transfers, one after the other."""
    with Bench.open(azurite) as opened:
        yield opened
