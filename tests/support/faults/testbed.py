"""Where trials run: one Azurite and one emulator, used again and again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from infra.local.outlook import OutlookEmulator, Rules
from tests.support.engine.clock import EPOCH, VirtualClock
from tests.support.faults.log_capture import captured_log
from tests.support.faults.referee import Referee
from tests.support.faults.trial import Trial
from tests.support.harness import AS_SHIPPED, Harness, Product
from tests.support.virtual_app import MAILBOX

CONTAINER = "tried"


class Testbed:
    """The parts that are slow to start; each trial resets them."""

    # pytest would collect a class of this name.
    __test__ = False

    def __init__(
        self, connection_string: str, emulator: OutlookEmulator, clock: VirtualClock
    ) -> None:
        self.connection_string = connection_string
        self.emulator = emulator
        self.clock = clock

    @classmethod
    @contextmanager
    def open(cls, connection_string: str) -> Iterator[Self]:
        """A testbed over that Azurite, with an emulator of its own."""
        clock = VirtualClock()
        with OutlookEmulator(clock=clock) as emulator:
            yield cls(connection_string, emulator, clock)

    @contextmanager
    def trial(
        self, rules: Rules, product: Product = AS_SHIPPED, /, **settings: object
    ) -> Iterator[Trial]:
        """An app over an empty mailbox and an empty container."""
        self.clock.now = EPOCH
        self.emulator.renew(rules)
        self.emulator.add_mailbox(MAILBOX)
        with captured_log() as log:
            harness = Harness(
                self.connection_string, self.emulator, self.clock, CONTAINER, product, **settings
            )
            trial = Trial(harness, Referee(harness, log))
            try:
                yield trial
            finally:
                trial.clean_up()
