"""The transfers of one blob to one item, step by step, and what can happen to them meanwhile."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from azure.storage.blob import ContentSettings

from infra.local.outlook import Fault, OutlookEmulator
from tests.support.faults.referee import Finding, Transfer
from tests.support.faults.testbed import BLOB, DatedSource, Trial
from tests.support.faults.variants import NextRequests, Way
from tests.support.harness import MAILBOX, Harness

ITEM = "AAkAMachine="
FILE_NAME = "report.pdf"
# What a transfer must get over: a fifth attempt that makes no progress is the last, and what comes
# more often than this may be taken for the truth.
SURVIVED = 4
AT_MOST = {401: 1, 404: 2}
SLEEP_AT_MOST = timedelta(hours=2)


@dataclass
class Going:
    """A transfer of one version of the blob, and what has happened to it.

    ``ended_from_outside``: cancelled, or its content is gone, or it was done before. ``asleep``:
    the time in which nobody was awake. ``fired_before``: the faults that others had met.
    """

    transfer: Transfer
    version: int
    fired_before: int
    ended_from_outside: bool = False
    disturbances: int = 0
    asleep: timedelta = timedelta(0)
    is_over: bool = False

    def must_attach(self, fired: list[Fault]) -> bool:
        """Whether nothing excuses another end than *attached*; ``fired``: every fault so far."""
        own = [each.misbehaviour.refusal for each in fired[self.fired_before :]]
        of_status = Counter(each.status for each in own if each is not None)
        return not (
            self.ended_from_outside
            or len(own) + self.disturbances > SURVIVED
            or any(of_status[status] > most for status, most in AT_MOST.items())
            or self.asleep > SLEEP_AT_MOST
        )


@dataclass
class World:
    """One trial: the blob, of which there are ``versions``, its item and its transfers so far."""

    trial: Trial
    way: Way
    faults: NextRequests = field(default_factory=NextRequests)
    transfers: list[Going] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    versions: int = 1
    interruptions: int = 0
    has_rivals: bool = False
    blob_exists: bool = True

    def __post_init__(self) -> None:
        self.outlook.add_item(MAILBOX, "message", item_id=ITEM)
        for n in range(self.way.attached_before):
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
        """The far side."""
        return self.harness.emulator

    @property
    def now(self) -> Going:
        """The latest transfer."""
        return self.transfers[-1]

    @property
    def contents(self) -> list[bytes]:
        """Every content that the blob has had."""
        return [self.way.content(version) for version in range(self.versions)]

    @property
    def goes_on(self) -> bool:
        """Whether a step is left to take, of this transfer or of the next one."""
        is_new = self.now.version != self.versions - 1
        return not self.now.is_over or (self.blob_exists and is_new)

    @property
    def is_recorded(self) -> bool:
        """Whether the blob says how the transfer of its present content has ended."""
        status = self.now.transfer.status
        return (
            self.blob_exists and not self.goes_on and bool(status and status.state != "superseded")
        )

    @property
    def may_interrupt(self) -> bool:
        """Whether the blob may be overwritten or deleted, or its transfer cancelled."""
        return self.interruptions < self.way.interruptions

    def begin(self) -> None:
        """Start the transfer that the blob as it is asks for."""
        transfer = Transfer(
            item=ITEM,
            mailbox=MAILBOX,
            blob=BLOB,
            content=self.contents[-1],
            engine=self.harness.begin(BLOB),
            deadline=timedelta(minutes=self.way.deadline_minutes),
            first_request=len(self.outlook.requests),
            begun=self.harness.clock.now,
        )
        self.transfers.append(Going(transfer, self.versions - 1, len(self.faults.fired)))

    def step(self, deliveries: int = 1) -> None:
        """Take one step; new content has an event of its own."""
        if self.now.is_over:
            self.begin()
        self.trial.step(self.now.transfer, deliveries)
        self._settle()

    def steps(self, deliveries: list[int]) -> None:
        """Take so many steps of this transfer, or as many as are left."""
        for each in deliveries:
            if not self.now.is_over:
                self.step(each)

    def write_metadata(self, value: int) -> None:
        """Somebody writes metadata of their own."""
        # Without an MD5 nothing proves that the content is the same: it is sent anew.
        self.now.disturbances += not self.way.has_md5
        metadata = self.harness.metadata(BLOB) | {"seen": str(value)}
        self.harness.container.get_blob_client(BLOB).set_blob_metadata(metadata)

    def overwrite(self) -> None:
        """Somebody puts other content in the blob's place."""
        self._interrupt()
        self.versions += 1
        self._put()
        source = self.harness.source
        if self.way.overwrite_moves_creation and isinstance(source, DatedSource):
            source.created += timedelta(seconds=1)

    def delete(self) -> None:
        """Somebody deletes the blob."""
        self._interrupt()
        self.blob_exists = False
        self.harness.container.delete_blob(BLOB)

    def cancel(self) -> None:
        """Somebody cancels the transfer, if it is not over yet."""
        if not self.now.is_over:
            self._interrupt()
            self.now.transfer.engine.raise_event("cancel")
            self._settle()

    def attach_another(self, longer: int) -> None:
        """Somebody attaches a file of the same name."""
        self.has_rivals = True
        self._attach(self.way.of_someone_else(self.versions - 1, longer))

    def sleep(self, time: timedelta) -> None:
        """Let time pass while nobody is awake."""
        going, transfer, clock = self.now, self.now.transfer, self.harness.clock
        began, living = clock.now, len(self.outlook.open_sessions())
        clock.advance(time.total_seconds())
        going.disturbances += len(self.outlook.open_sessions()) < living
        going.asleep += time
        # Its time begins when it is first looked at; past its deadline nobody was there to end it.
        inspected = "inspect_blob" in transfer.engine.performed
        due = transfer.begun + transfer.deadline
        beyond = clock.now - max(began, due) if inspected else time
        transfer.deadline += max(timedelta(0), beyond)

    def findings(self) -> Iterator[Finding]:
        """Go on to the end of everything; all that is wrong then."""
        while self.goes_on:
            if self.now.is_over:
                self.begin()
            self.trial.run(self.now.transfer)
            self._settle(gave_up=True)
        held = frozenset(self.held)
        yield from self.trial.referee.corrupted(MAILBOX, ITEM, self.contents, held)
        firsts: list[int | None] = [each.transfer.first_request for each in self.transfers]
        for each, until in zip(self.transfers, [*firsts[1:], None], strict=True):
            each.transfer.held = held
            each.transfer.may_not_know = self.has_rivals
            each.transfer.blob_kept = each.version == self.versions - 1
            yield from self.trial.referee.judge(each.transfer, until)

    def _settle(self, *, gave_up: bool = False) -> None:
        """If the transfer is over: when that was, and what it ought to have come to."""
        going, transfer = self.now, self.now.transfer
        if going.is_over or not (transfer.engine.is_over or transfer.crash or gave_up):
            return
        going.is_over = True
        transfer.ended = self.harness.clock.now
        patient = self.way.deadline_minutes >= 60
        transfer.must_attach = patient and going.must_attach(self.faults.fired)

    def _interrupt(self) -> None:
        self.interruptions += 1
        self.now.ended_from_outside = True

    def _put(self) -> None:
        self.blob_exists = True
        content = self.contents[-1]
        metadata = {"mailbox": MAILBOX, "messageid": ITEM, "filename": FILE_NAME}
        if self.way.has_md5 or not content:
            self.harness.put(BLOB, content, **metadata)
            return
        blob = self.harness.container.get_blob_client(BLOB)
        blob.stage_block("MDAx", content)
        settings = ContentSettings(content_type="application/pdf")
        ids = ["MDAx"]
        blob.commit_block_list(ids, metadata=metadata, content_settings=settings)  # type: ignore[arg-type]  # ids will do

    def _attach(self, content: bytes) -> None:
        self.held.add(self.outlook.attach(MAILBOX, ITEM, FILE_NAME, content).id)
