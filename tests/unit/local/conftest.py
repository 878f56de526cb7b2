"""An emulator with one mailbox and a clock that tests advance, and a client for it."""

from collections.abc import Iterator

import pytest

from infra.local.outlook import OutlookEmulator, Rules
from tests.unit.local.outlook_client import MAILBOX, Client, Clock


@pytest.fixture
def clock() -> Clock:
    """The emulator's clock."""
    return Clock()


@pytest.fixture
def emulator(clock: Clock) -> Iterator[OutlookEmulator]:
    """A running emulator that allows sessions for a single byte."""
    with OutlookEmulator(Rules(minimum_session_bytes=1), clock=clock) as running:
        running.add_mailbox(MAILBOX)
        yield running


@pytest.fixture
def client(emulator: OutlookEmulator) -> Iterator[Client]:
    """A client with a token."""
    connected = Client(emulator)
    yield connected
    connected.close()


@pytest.fixture
def message(emulator: OutlookEmulator) -> str:
    """The id of an empty draft."""
    return emulator.add_item(MAILBOX, "message")


@pytest.fixture
def event(emulator: OutlookEmulator) -> str:
    """The id of an event."""
    return emulator.add_item(MAILBOX, "event")
