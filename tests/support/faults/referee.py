"""What became of a transfer, by the emulator's own account: the figures of the fault suites.

The product's statuses and records are compared with what the emulator holds and saw; they prove
nothing by themselves. A *finding* is one figure that should be zero, with a sentence of its own.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal, Self, get_args

from azure.core.exceptions import ResourceNotFoundError

from infra.local.outlook import Attachment, OutlookEmulator, RecordedRequest, UploadSession
from infra.local.outlook.ids import canonical
from shared.transfer.payloads import TransferStatus
from tests.support.engine.virtual_engine import VirtualEngine
from tests.support.harness import Harness

Figure = Literal[
    "lost",
    "doubled",
    "corrupted",
    "misreported",
    "early",
    "late",
    "leaked",
    "left",
    "crashed",
]
FIGURES: tuple[Figure, ...] = get_args(Figure)

# After the deadline a transfer still deletes its session and writes its record.
TIDYING_UP = timedelta(minutes=1)
_CLOCK_TICK = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Finding:
    """One thing that must not be."""

    figure: Figure
    sentence: str

    def __str__(self) -> str:
        return f"{self.figure}: {self.sentence}"


@dataclass(frozen=True)
class Delivery:
    """One delivery of an activity: the index of the first request it may have made.

    ``heard`` is false when its worker was killed before it answered.
    """

    activity: str
    first_request: int
    heard: bool


@dataclass(kw_only=True)
class Transfer:
    """One transfer with what the referee must know of it beforehand.

    ``held`` are the ids of attachments that others made. ``must_attach``: nothing that it met
    excuses another end. ``may_not_know``: that nobody can tell is an answer. ``blob_kept``: the
    blob still has the transfer's content, so that the record must be there.
    """

    item: str
    mailbox: str
    blob: str
    content: bytes = field(repr=False)
    engine: VirtualEngine
    deadline: timedelta
    first_request: int = 0
    deliveries: list[Delivery] = field(default_factory=list)
    held: frozenset[str] = frozenset()
    must_attach: bool = True
    may_not_know: bool = False
    blob_kept: bool = True
    begun: datetime
    ended: datetime | None = None
    crash: str = ""

    @property
    def status(self) -> TransferStatus | None:
        """What the product says; None when it said nothing."""
        output = self.engine.output
        return None if output is None else TransferStatus.from_json(output)


@dataclass(frozen=True)
class Referee:
    """Judges transfers of one harness, each on an item of its own account."""

    harness: Harness
    logs: list[str]
    _seen: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def emulator(self) -> OutlookEmulator:
        """Whose account counts."""
        return self.harness.emulator

    def judge(self, transfer: Transfer, until: int | None = None) -> list[Finding]:
        """Everything that is wrong with this transfer, now that it has come to its end.

        ``until``: the index of the first request that is not the transfer's any more.
        """
        own = self.emulator.requests[transfer.first_request : until]
        ours = self._ours(transfer)
        said = list(self._misreported(transfer, ours))
        return [
            *self._crashed(transfer),
            *self._lost(transfer, ours),
            *self._doubled(ours),
            *said,
            *self._early(transfer, own),
            *self._late(transfer),
            *self._left(transfer, own),
            *self._leaked(transfer),
        ]

    def corrupted(
        self, mailbox: str, item: str, contents: list[bytes], held: frozenset[str]
    ) -> list[Finding]:
        """Attachments of the app's that have none of the contents which the blob had."""
        good = {hashlib.sha256(each).hexdigest() for each in contents}
        return [
            Finding("corrupted", f"attachment {each.id} of {each.content_bytes} bytes")
            for each in self.emulator.attachments(mailbox, item)
            if each.id not in held and each.sha256 not in good
        ]

    def _metadata(self, transfer: Transfer) -> dict[str, str]:
        """The blob's metadata; empty when it is gone, since a blob that is there has an address."""
        if transfer.blob not in self._seen:
            try:
                self._seen[transfer.blob] = self.harness.metadata(transfer.blob)
            except ResourceNotFoundError:
                self._seen[transfer.blob] = {}
        return self._seen[transfer.blob]

    def _ours(self, transfer: Transfer) -> list[Attachment]:
        wanted = hashlib.sha256(transfer.content).hexdigest()
        return [
            each
            for each in self.emulator.attachments(transfer.mailbox, transfer.item)
            if each.id not in transfer.held and each.sha256 == wanted
        ]

    def _crashed(self, transfer: Transfer) -> Iterator[Finding]:
        trouble = transfer.crash or transfer.engine.failed
        if trouble:
            yield Finding("crashed", trouble)

    def _lost(self, transfer: Transfer, ours: list[Attachment]) -> Iterator[Finding]:
        status = transfer.status
        if status is None:
            yield Finding("lost", "the transfer has no end")
            return
        code = status.error.code if status.error else ""
        attached = status.state == "attached"
        unknown = code == "OutcomeUnknown" and transfer.may_not_know
        if attached and not ours:
            yield Finding("lost", "said to be attached, and Outlook has nothing of it")
        if transfer.must_attach and not attached and not unknown:
            error = status.error.message if status.error else ""
            yield Finding("lost", f"{status.state} without need: {code} {error}")

    def _doubled(self, ours: list[Attachment]) -> Iterator[Finding]:
        if len(ours) > 1:
            yield Finding("doubled", f"attached {len(ours)} times")

    def _misreported(self, transfer: Transfer, ours: list[Attachment]) -> Iterator[Finding]:
        status = transfer.status
        if status is None:
            return
        code = status.error.code if status.error else ""
        ids = {each.id for each in ours}
        if status.state == "attached":
            if canonical(status.attachment_id or "") not in ids:
                yield Finding("misreported", f"{status.attachment_id} is no attachment of it")
        elif ours and code != "OutcomeUnknown":
            yield Finding("misreported", f"{status.state} {code}, although it is attached")
        yield from self._misrecorded(transfer, status)

    def _misrecorded(self, transfer: Transfer, status: TransferStatus) -> Iterator[Finding]:
        metadata = self._metadata(transfer)
        if not transfer.blob_kept:
            if metadata.get("attachmenttransfer") == transfer.engine.instance_id:
                yield Finding("misreported", "recorded on a blob that has other content")
            return
        recorded = (metadata.get("attachmentstatus"), metadata.get("attachmentid"))
        if (
            metadata
            and status.state != "superseded"
            and recorded != (status.state, status.attachment_id)
        ):
            said = (status.state, status.attachment_id)
            yield Finding("misreported", f"recorded as {recorded}, ended as {said}")

    def _early(self, transfer: Transfer, own: list[RecordedRequest]) -> Iterator[Finding]:
        asked = [(each, _not_before(each)) for each in own if self._was_heard(transfer, each)]
        for answered, until in asked:
            for later in own:
                if (
                    until is not None
                    and later.index > answered.index
                    and later.kind != "token"
                    and later.at + _CLOCK_TICK < until
                ):
                    ahead = (until - later.at).total_seconds()
                    yield Finding(
                        "early",
                        f"{later.kind} (#{later.index}) {ahead:.3f} s before the end of what "
                        f"{answered.kind} (#{answered.index}) was told to wait",
                    )

    def _was_heard(self, transfer: Transfer, request: RecordedRequest) -> bool:
        """Whether the answer outlived the worker that got it."""
        before = [each for each in transfer.deliveries if each.first_request <= request.index]
        return not before or before[-1].heard

    def _late(self, transfer: Transfer) -> Iterator[Finding]:
        if transfer.ended is None:
            return
        over = transfer.ended - transfer.begun - transfer.deadline
        if over > TIDYING_UP:
            yield Finding("late", f"ended {over} after its deadline")

    def _left(self, transfer: Transfer, own: list[RecordedRequest]) -> Iterator[Finding]:
        for session in self._unknown_to_nobody(own):
            deletions = [each for each in own if each.kind == "cancel"]
            tried = [each for each in deletions if each.target == session.target]
            if not tried or not all(each.fault for each in tried):
                yield Finding("left", f"an open session with {session.received} bytes")
        attached = transfer.status is not None and transfer.status.state == "attached"
        undeletable = any(each.kind == "cancel" and each.fault for each in own)
        if self.harness.notes() and (attached or not undeletable):
            yield Finding("left", "notes in the session store")

    def _unknown_to_nobody(self, own: list[RecordedRequest]) -> list[UploadSession]:
        """Open sessions of these requests that the app was told of."""
        requests = self.emulator.requests
        created = [each for each in requests if each.kind == "create" and each.served_status == 201]
        told = {each.index for each in own if not each.fault}
        still_open = {each.id for each in self.emulator.open_sessions()}
        return [
            session
            for session, request in zip(self.emulator.sessions(), created, strict=True)
            if session.id in still_open and request.index in told
        ]

    def _leaked(self, transfer: Transfer) -> Iterator[Finding]:
        engine = transfer.engine
        kept = {
            "the history": b"".join(each.SerializeToString() for each in engine.history),
            "a status": str(engine.statuses).encode(),
            "the output": str(engine.output).encode(),
            "a log": "\n".join(self.logs).encode(),
            "an exception": transfer.crash.encode(),
        }
        kept["the metadata"] = str(self._metadata(transfer)).encode()
        secrets = [each.encode() for each in self.emulator.secrets()]
        for where, text in kept.items():
            if any(secret in text for secret in secrets):
                yield Finding("leaked", f"a secret stands in {where}")


def _not_before(request: RecordedRequest) -> datetime | None:
    """Until when Graph or Outlook asked for patience, if the client could hear it."""
    value = request.answer_headers.get("Retry-After")
    if value is None or request.status is None or request.kind == "token":
        return None
    try:
        return request.at + timedelta(seconds=float(value))
    except ValueError:
        return parsedate_to_datetime(value)


class _Listener(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


@contextmanager
def listening() -> Iterator[list[str]]:
    """What is logged meanwhile, at the levels that ``function_app`` sets."""
    levels = {"": logging.INFO, "azure": logging.WARNING, "urllib3": logging.WARNING}
    before = {name: logging.getLogger(name).level for name in levels}
    lines: list[str] = []
    listener = _Listener(lines)
    logging.getLogger().addHandler(listener)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield lines
    finally:
        logging.getLogger().removeHandler(listener)
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


@dataclass
class Tally:
    """The figures over many transfers; ``red`` names the seeds (or cases) behind each."""

    tried: int = 0
    fired: int = 0
    found: Counter[Figure] = field(default_factory=Counter)
    red: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, fired: int, findings: list[Finding]) -> None:
        """Count one in."""
        self.tried += 1
        self.fired += fired
        self.found.update({each.figure for each in findings})
        if findings:
            self.red[name] = [str(each) for each in findings]

    def merge(self, other: "Tally") -> None:
        """Count another's figures in."""
        self.tried += other.tried
        self.fired += other.fired
        self.found.update(other.found)
        self.red.update(other.red)

    def figures(self) -> dict[str, int]:
        """The figures by name, without what is behind them."""
        found: dict[str, int] = {figure: self.found[figure] for figure in FIGURES}
        return {"tried": self.tried, "fired": self.fired, **found}

    @classmethod
    def of(cls, figures: Mapping[str, int]) -> Self:
        """The tally with these figures."""
        found = Counter({figure: figures[figure] for figure in FIGURES})
        return cls(tried=figures["tried"], fired=figures["fired"], found=found)

    def table(self) -> str:
        """The figures, a column each."""
        columns = self.figures()
        widths = {name: max(len(name), len(f"{value:,}")) for name, value in columns.items()}
        head = "  ".join(f"{name:>{widths[name]}}" for name in columns)
        row = "  ".join(f"{value:>{widths[name]},}" for name, value in columns.items())
        return f"{head}\n{row}"

    def account(self) -> str:
        """The table, and every red seed with its findings."""
        lines = [self.table()]
        for name, findings in self.red.items():
            lines += [name, *(f"    {each}" for each in findings)]
        return "\n".join(lines)
