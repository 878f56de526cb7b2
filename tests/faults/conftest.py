"""What the fault suites share: a testbed to try transfers on."""

from collections.abc import Iterator

import pytest

from tests.support.faults.testbed import Testbed


@pytest.fixture(scope="module")
def testbed(azurite: str) -> Iterator[Testbed]:
    """A testbed for a module's transfers, one after the other."""
    with Testbed.open(azurite) as opened:
        yield opened
