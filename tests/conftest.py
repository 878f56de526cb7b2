"""Fixtures of several folders: a real Azurite, and harnesses over it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count

import pytest
from hypothesis import settings

from infra.local.azurite import Azurite
from infra.local.outlook import OutlookEmulator, Rules
from tests.support.engine.clock import VirtualClock
from tests.support.harness import AS_SHIPPED, Harness, Product
from tests.support.telemetry import Telemetry, telemetry_of_this_process
from tests.support.virtual_app import MAILBOX

MakeHarness = Callable[..., Harness]

pytest_plugins = ["tests.support.figures"]

# A machine that is busy makes no test fail.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

_containers = count()


@pytest.fixture(scope="session")
def azurite() -> Iterator[str]:
    """The connection string of an Azurite that runs as long as the tests."""
    with Azurite() as running:
        yield running.connection_string


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """The telemetry of the test."""
    with telemetry_of_this_process().recording() as recording:
        yield recording


@pytest.fixture
def make_harness(azurite: str) -> Iterator[MakeHarness]:
    """Makes a harness with the given rules of the service and settings of the app."""
    with ExitStack() as running:

        def make(
            rules: Rules | None = None, product: Product = AS_SHIPPED, /, **settings: object
        ) -> Harness:
            clock = VirtualClock()
            emulator = running.enter_context(OutlookEmulator(rules, clock=clock))
            emulator.add_mailbox(MAILBOX)
            name = f"source-{next(_containers)}"
            harness = Harness(azurite, emulator, clock, name, product, **settings)
            running.callback(harness.close)
            return harness

        yield make
