"""Fixtures of the fault tests."""

from collections.abc import Iterator

import pytest

from tests.support.faults.testbed import Testbed


@pytest.fixture(scope="module")
def testbed(azurite: str) -> Iterator[Testbed]:
    """A testbed for the trials of a module, one after the other."""
    with Testbed.open(azurite) as opened:
        yield opened
