"""The model of the stateful test: the transfers of one blob to one item, and what may happen."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from infra.local.outlook import Fault, OutlookEmulator
from tests.support.faults.fault_sets import MAX_BY_STATUS, SURVIVED
from tests.support.faults.findings import Finding
from tests.support.faults.observed_transfer import ObservedTransfer
from tests.support.faults.trial import BLOB, FILE_NAME, Trial
from tests.support.faults.variants import PendingFaults, Variant
from tests.support.harness import Harness
from tests.support.virtual_app import MAILBOX

ITEM = "AAkAMachine="
MAX_PAUSE = timedelta(hours=2)


@dataclass
class ModelTransfer:
    """A transfer of one version of the blob, and what has happened to it.

    ``interrupted``: it was cancelled, its content is gone, or the content was attached before.
    ``paused``: time in which the app did not run. ``fired_before``: how many faults fired before
    it began.
    """

    transfer: ObservedTransfer
    version: int
    fired_before: int
    interrupted: bool = False
    disturbances: int = 0
    paused: timedelta = timedelta(0)
    is_over: bool = False

    def must_attach(self, fired: list[Fault]) -> bool:
        """Whether nothing excuses another outcome than *attached*; ``fired``: all faults so far."""
        own = [each.misbehaviour.refusal for each in fired[self.fired_before :]]
        of_status = Counter(each.status for each in own if each is not None)
        return not (
            self.interrupted
            or len(own) + self.disturbances > SURVIVED
            or any(of_status[status] > maximum for status, maximum in MAX_BY_STATUS.items())
            or self.paused > MAX_PAUSE
        )


@dataclass
class TransferModel:
    """One trial: the versions of the blob so far, its item and its transfers."""

    trial: Trial
    variant: Variant
    faults: PendingFaults = field(default_factory=PendingFaults)
    transfers: list[ModelTransfer] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)
    versions: int = 1
    interruptions: int = 0
    has_other_writers: bool = False
    blob_exists: bool = True

    def __post_init__(self) -> None:
        self.outlook.add_item(MAILBOX, "message", item_id=ITEM)
        for n in range(self.variant.attached_before):
            self._attach(f"earlier {n}".encode())
        self.outlook.random_faults = self.faults
        self._put()
        self.begin()

    @property
    def harness(self) -> Harness:
        """The app."""
        return self.trial.harness

    @property
    def outlook(self) -> OutlookEmulator:
        """The emulator."""
        return self.harness.emulator

    @property
    def current(self) -> ModelTransfer:
        """The latest transfer."""
        return self.transfers[-1]

    @property
    def contents(self) -> list[bytes]:
        """Every content that the blob has had."""
        return [self.variant.content(version) for version in range(self.versions)]

    @property
    def has_more_steps(self) -> bool:
        """Whether the current transfer, or the next one, can make a step."""
        is_new = self.current.version != self.versions - 1
        return not self.current.is_over or (self.blob_exists and is_new)

    @property
    def is_recorded(self) -> bool:
        """Whether the blob has the record of the transfer of its present content."""
        status = self.current.transfer.status
        return (
            self.blob_exists
            and not self.has_more_steps
            and bool(status and status.state != "superseded")
        )

    @property
    def may_interrupt(self) -> bool:
        """Whether the blob may be overwritten or deleted, or its transfer cancelled."""
        return self.interruptions < self.variant.interruptions

    def begin(self) -> None:
        """Start the transfer of the blob as it is now."""
        transfer = self.trial.observe(ITEM, self.contents[-1], self.harness.begin(BLOB))
        self.transfers.append(ModelTransfer(transfer, self.versions - 1, len(self.faults.fired)))

    def step(self, deliveries: int = 1) -> None:
        """Make one step; new content starts a transfer of its own."""
        if self.current.is_over:
            self.begin()
        self.trial.step(self.current.transfer, deliveries)
        self._settle()

    def steps(self, deliveries: list[int]) -> None:
        """Make so many steps of the current transfer, or as many as it has."""
        for each in deliveries:
            if not self.current.is_over:
                self.step(each)

    def write_metadata(self, value: int) -> None:
        """Another client writes metadata."""
        # Without an MD5 nothing proves that the content is the same: it is sent again.
        self.current.disturbances += not self.variant.has_md5
        self.trial.add_metadata(str(value))

    def overwrite(self) -> None:
        """Another client overwrites the blob."""
        self._interrupt()
        self.versions += 1
        self._put()
        if self.variant.overwrite_moves_creation:
            self.trial.move_creation_time()

    def delete(self) -> None:
        """Another client deletes the blob."""
        self._interrupt()
        self.blob_exists = False
        self.trial.delete_blob()

    def cancel(self) -> None:
        """A user cancels the current transfer, unless it is over."""
        if not self.current.is_over:
            self._interrupt()
            self.current.transfer.engine.raise_event("cancel")
            self._settle()

    def attach_another(self, longer: int) -> None:
        """Another client attaches a file of the same name."""
        self.has_other_writers = True
        self._attach(self.variant.foreign_content(self.versions - 1, longer))

    def pause(self, time: timedelta) -> None:
        """Let time pass while the app does not run."""
        current, transfer, clock = self.current, self.current.transfer, self.harness.clock
        sessions = len(self.outlook.open_sessions())
        clock.advance(time.total_seconds())
        current.disturbances += len(self.outlook.open_sessions()) < sessions
        current.paused += time
        # An outage of the app is not counted as trouble of the transfer.
        transfer.deadline += time

    def findings(self) -> Iterator[Finding]:
        """Run every transfer to its end; the findings."""
        while self.has_more_steps:
            if self.current.is_over:
                self.begin()
            self.trial.run(self.current.transfer)
            self._settle(stuck=True)
        foreign = frozenset(self.foreign)
        yield from self.trial.referee.corrupted(MAILBOX, ITEM, self.contents, foreign)
        firsts: list[int | None] = [each.transfer.first_request for each in self.transfers]
        for each, until in zip(self.transfers, [*firsts[1:], None], strict=True):
            each.transfer.foreign = foreign
            each.transfer.may_be_unknown = self.has_other_writers
            each.transfer.content_is_current = each.version == self.versions - 1
            yield from self.trial.referee.judge(each.transfer, until)

    def _settle(self, *, stuck: bool = False) -> None:
        """If the transfer is over, note when, and whether it must be attached."""
        current, transfer = self.current, self.current.transfer
        if current.is_over or not (transfer.engine.is_over or transfer.crash or stuck):
            return
        current.is_over = True
        transfer.ended = self.harness.clock.now
        has_time = self.variant.deadline_minutes >= 60
        transfer.must_attach = has_time and current.must_attach(self.faults.fired)

    def _interrupt(self) -> None:
        self.interruptions += 1
        self.current.interrupted = True

    def _put(self) -> None:
        self.blob_exists = True
        address = {"mailbox": MAILBOX, "messageid": ITEM, "filename": FILE_NAME}
        self.trial.put_blob(self.contents[-1], address, has_md5=self.variant.has_md5)

    def _attach(self, content: bytes) -> None:
        self.foreign.add(self.trial.attach_as_another_client(ITEM, content))
