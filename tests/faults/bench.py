"""Where transfers are tried: one Azurite and one emulator, used again and again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from azure.storage.blob import ContainerClient

from infra.local.outlook import ItemKind, OutlookEmulator, Rules
from shared.storage.source_blob import SourceBlob
from shared.storage.source_container import SourceContainer
from tests.faults.verdict import Delivery, Finding, Referee, Transfer, listening
from tests.harness import AS_SHIPPED, MAILBOX, Harness, Product
from tests.virtual_engine import EPOCH, VirtualClock

CONTAINER = "tried"
BLOB = "in/report.pdf"
_STEPS_AT_MOST = 2_000
_HOURS_AT_MOST = timedelta(hours=48)

# What happens before a step is taken, given the step's number.
type Before = Callable[[int], object]


class DatedSource(SourceContainer):
    """A source whose blobs were created at times of the test's own.

    So that a run can be had again: the creation time is part of a transfer's id, and the id of
    every wait. Nobody has published whether an overwrite changes it, so the test decides.
    """

    def __init__(self, container: ContainerClient) -> None:
        super().__init__(container)
        self.created = EPOCH

    def look(self, name: str) -> SourceBlob:
        """The blob as it is now, with the test's own creation time."""
        return replace(super().look(name), created=self.created.isoformat())


class Bench:
    """The parts that cost time to start; every trial begins anew on them."""

    def __init__(self, connection_string: str, emulator: OutlookEmulator) -> None:
        self.connection_string = connection_string
        self.emulator = emulator
        self.clock = VirtualClock()

    @classmethod
    @contextmanager
    def open(cls, connection_string: str) -> Iterator["Bench"]:
        """A bench over that Azurite, with an emulator of its own."""
        clock = VirtualClock()
        with OutlookEmulator(clock=clock) as emulator:
            bench = cls(connection_string, emulator)
            bench.clock = clock
            yield bench

    @contextmanager
    def trial(
        self, rules: Rules, product: Product = AS_SHIPPED, /, **settings: object
    ) -> Iterator["Trial"]:
        """An app over an empty mailbox, and the referee that listens to it."""
        self.clock.now = EPOCH
        self.emulator.renew(rules)
        self.emulator.add_mailbox(MAILBOX)
        with listening() as logs:
            harness = Harness(
                self.connection_string, self.emulator, self.clock, CONTAINER, product, **settings
            )
            trial = Trial(harness, Referee(harness, logs))
            try:
                yield trial
            finally:
                trial.clean_up()


class Trial:
    """One app that is tried, and what it delivers."""

    def __init__(self, harness: Harness, referee: Referee) -> None:
        self.harness = harness
        self.referee = referee
        self._deliveries: list[Delivery] = []
        self._heard = True
        for name, activity in harness.activities.items():
            harness.activities[name] = self._noted(name, activity)

    def clean_up(self) -> None:
        """Leave nothing for the next trial."""
        for name in self.harness.notes():
            self.harness.sessions.delete_blob(name)
        for blob in self.harness.container.list_blob_names():
            self.harness.container.delete_blob(blob)
        self.harness.close()

    def begin(self, content: bytes, kind: ItemKind = "message") -> Transfer:
        """A transfer of a new blob to a new item, about to do its first activity."""
        harness, emulator = self.harness, self.harness.emulator
        item = emulator.add_item(MAILBOX, kind)
        harness.put(BLOB, content, **{"mailbox": MAILBOX, f"{kind}id": item})
        return Transfer(
            item=item,
            mailbox=MAILBOX,
            blob=BLOB,
            content=content,
            engine=harness.begin(BLOB),
            deadline=timedelta(minutes=harness.settings.transfer_deadline_minutes),
            first_request=len(emulator.requests),
            begun=harness.clock.now,
        )

    def judge(self, transfer: Transfer, *others: bytes) -> list[Finding]:
        """All that is wrong with a transfer that has the item to itself.

        ``others`` are the other contents that its blob had.
        """
        contents = [transfer.content, *others]
        corrupted = self.referee.corrupted(MAILBOX, transfer.item, contents, transfer.held)
        return corrupted + self.referee.judge(transfer)

    def run(
        self,
        transfer: Transfer,
        *,
        before: Before = lambda _: None,
        twice: Callable[[int], bool] = lambda _: False,
        between: Before = lambda _: None,
    ) -> None:
        """Run the transfer to its end, or as far as it goes.

        ``between``: what happens between two deliveries of a step that is delivered twice.
        """
        for step in range(_STEPS_AT_MOST):
            before(step)
            deliveries = 2 if twice(step) else 1
            if not self.step(transfer, deliveries, partial(between, step)):
                break
        transfer.ended = self.harness.clock.now

    def step(
        self,
        transfer: Transfer,
        deliveries: int = 1,
        between: Callable[[], object] = lambda: None,
    ) -> bool:
        """Take one step of the transfer; false when it goes no further."""
        engine, clock = transfer.engine, self.harness.clock
        too_late = clock.now - transfer.begun > _HOURS_AT_MOST
        if engine.is_over or transfer.crash or too_late:
            return False
        self._deliveries = transfer.deliveries
        self._heard = deliveries == 1
        try:
            engine.advance(deliveries, between)
        except Exception as error:  # noqa: BLE001 (whatever leaves an activity is a finding)
            transfer.crash = f"{type(error).__name__}: {error}"
        return not transfer.crash

    def _noted(
        self, name: str, activity: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> Callable[[dict[str, Any]], dict[str, Any]]:
        def run(payload: dict[str, Any]) -> dict[str, Any]:
            first = len(self.harness.emulator.requests)
            self._deliveries.append(Delivery(name, first, self._heard))
            # Only the first of two deliveries goes unheard.
            self._heard = True
            return activity(payload)

        return run
