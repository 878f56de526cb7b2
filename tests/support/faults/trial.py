"""One app under test, and all that may happen to its blob and its item meanwhile."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from azure.storage.blob import ContainerClient

from infra.local.outlook import ItemKind
from shared.storage.source_blob import SourceBlob
from shared.storage.source_container import SourceContainer
from tests.support.engine.clock import EPOCH
from tests.support.engine.virtual_engine import VirtualEngine
from tests.support.faults.findings import Finding
from tests.support.faults.observed_transfer import Delivery, ObservedTransfer
from tests.support.faults.referee import Referee
from tests.support.harness import Harness
from tests.support.virtual_app import MAILBOX

FILE_NAME = "report.pdf"
BLOB = f"in/{FILE_NAME}"
_MAX_STEPS = 2_000
_MAX_HOURS = timedelta(hours=48)

# Called with the number of a step.
type AtStep = Callable[[int], object]


class DatedSource(SourceContainer):
    """A source whose blobs have a creation time that the test sets.

    The creation time is part of a transfer's id, and so of the length of every wait: with the real
    one no run could be repeated. Whether an overwrite changes it is not documented; the test
    decides that, too.
    """

    def __init__(self, container: ContainerClient) -> None:
        super().__init__(container)
        self.created = EPOCH

    def look(self, name: str) -> SourceBlob:
        """The blob as it is now, with the test's creation time."""
        return replace(super().look(name), created=self.created.isoformat())


class Trial:
    """One app under test: runs its transfers, and does to them what other clients do."""

    def __init__(self, harness: Harness, referee: Referee) -> None:
        self.harness = harness
        self.referee = referee
        self._deliveries: list[Delivery] = []
        self._has_result = True
        for name, activity in harness.activities.items():
            harness.activities[name] = self._recorded(name, activity)

    def clean_up(self) -> None:
        """Delete all blobs."""
        for blob in self.harness.container.list_blob_names():
            self.harness.container.delete_blob(blob)
        self.harness.close()

    def begin(self, content: bytes, kind: ItemKind = "message") -> ObservedTransfer:
        """A transfer of a new blob to a new item, about to run its first activity."""
        item = self.harness.emulator.add_item(MAILBOX, kind)
        self.harness.put(BLOB, content, **{"mailbox": MAILBOX, f"{kind}id": item})
        return self.observe(item, content, self.harness.begin(BLOB))

    def observe(self, item: str, content: bytes, engine: VirtualEngine) -> ObservedTransfer:
        """The transfer that this engine is about to run."""
        harness = self.harness
        return ObservedTransfer(
            item=item,
            mailbox=MAILBOX,
            blob=BLOB,
            content=content,
            engine=engine,
            deadline=timedelta(minutes=harness.settings.transfer_deadline_minutes),
            first_request=len(harness.emulator.requests),
            begun=harness.clock.now,
        )

    def put_blob(
        self, content: bytes, metadata: Mapping[str, str], *, has_md5: bool = True
    ) -> None:
        """Upload the blob, or overwrite it. An empty blob always has an MD5."""
        put = self.harness.put if has_md5 or not content else self.harness.put_without_md5
        put(BLOB, content, **metadata)

    def move_creation_time(self) -> None:
        """Have the blob created a second later, as after an overwrite."""
        source = self.harness.source
        assert isinstance(source, DatedSource)
        source.created += timedelta(seconds=1)

    def delete_blob(self) -> None:
        """Delete the blob."""
        self.harness.container.delete_blob(BLOB)

    def blob_exists(self) -> bool:
        """Whether the blob is there."""
        return self.harness.container.get_blob_client(BLOB).exists()

    def add_metadata(self, value: str = "yes") -> None:
        """Write metadata as another client does."""
        self.harness.add_metadata(BLOB, seen=value)

    def clear_md5(self) -> None:
        """Write the blob's properties as another client does: it has no MD5 afterwards."""
        self.harness.clear_md5(BLOB)

    def attach_as_another_client(self, item: str, content: bytes) -> str:
        """Attach a file of the blob's name without the app; the attachment's id."""
        return self.harness.emulator.attach(MAILBOX, item, FILE_NAME, content).id

    def judge(self, transfer: ObservedTransfer, *others: bytes) -> list[Finding]:
        """All findings about a transfer to an item that has no other transfer.

        ``others`` are further contents that its blob had.
        """
        contents = [transfer.content, *others]
        corrupted = self.referee.corrupted(MAILBOX, transfer.item, contents, transfer.foreign)
        return corrupted + self.referee.judge(transfer)

    def run(
        self,
        transfer: ObservedTransfer,
        *,
        before: AtStep = lambda _: None,
        twice: Callable[[int], bool] = lambda _: False,
        between: AtStep = lambda _: None,
    ) -> None:
        """Run the transfer until it ends or can make no further step.

        ``before`` is called with the number of each step; ``twice`` says whether the step is
        delivered twice; ``between`` is called between the two deliveries.
        """
        for step in range(_MAX_STEPS):
            before(step)
            deliveries = 2 if twice(step) else 1
            if not self.step(transfer, deliveries, partial(between, step)):
                break
        transfer.ended = self.harness.clock.now

    def step(
        self,
        transfer: ObservedTransfer,
        deliveries: int = 1,
        between: Callable[[], object] = lambda: None,
    ) -> bool:
        """Run one step of the transfer; False when it can make no further step."""
        engine, clock = transfer.engine, self.harness.clock
        too_late = clock.now - transfer.begun > _MAX_HOURS
        if engine.is_over or transfer.crash or too_late:
            return False
        self._deliveries = transfer.deliveries
        self._has_result = deliveries == 1
        try:
            engine.advance(deliveries, between)
        except Exception as error:  # noqa: BLE001 (any error that an activity raises is a finding)
            transfer.crash = f"{type(error).__name__}: {error}"
        return not transfer.crash

    def _recorded(
        self, name: str, activity: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> Callable[[dict[str, Any]], dict[str, Any]]:
        def run(payload: dict[str, Any]) -> dict[str, Any]:
            first = len(self.harness.emulator.requests)
            self._deliveries.append(Delivery(name, first, self._has_result))
            # Only the first of two deliveries returns no result.
            self._has_result = True
            return activity(payload)

        return run
