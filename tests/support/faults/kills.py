"""Kills the worker at exact points of transfers on the whole local stack, and counts the damage.

    python -m tests.faults.kills --count 1000 --seed 3

Points: before a request to Outlook is read; after Outlook took it, its answer withheld; while the
worker writes to storage after (or before) that, its activity not yet answered. Transfers overlap:
each kill meets the one it aims at and whatever else runs.
"""

import argparse
import hashlib
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, fields, replace
from types import TracebackType
from typing import Self

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient, ContainerClient, ContentSettings

from infra.local.azurite import Azurite
from infra.local.outlook import Fault, ItemKind, Kind, catalogue
from infra.local.stack import Stack
from tests.support.faults.storage_proxy import Side, StorageGate

RANGE_BYTES = 4_096
RANGES_PER_ACTIVITY = 3
SMALL, LARGE = 900, 7 * RANGE_BYTES + 1
_WAIT_SECONDS = 60.0
_HANG_SECONDS = 60.0


def until[T](observe: Callable[[], T | None], what: str) -> T:
    """Wait until something is there; fail if it never is."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while (seen := observe()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"it never happened: {what}")
        time.sleep(0.01)
    return seen


@dataclass(frozen=True)
class AtOutlook:
    """A kill while a request of this kind waits: not taken yet, or taken and not answered."""

    kind: Kind
    taken: bool

    def __str__(self) -> str:
        return f"{self.kind}, {'accepted' if self.taken else 'before the send'}"


@dataclass(frozen=True)
class AtStorage:
    """A kill while this call to storage waits: what its head holds, its request or its answer."""

    name: str
    method: bytes
    says: tuple[bytes, ...]
    side: Side

    def __str__(self) -> str:
        return f"{self.name}, {self.side} held"

    def matches(self, head: bytes) -> bool:
        """Whether this is the head of such a call."""
        return head.startswith(self.method) and all(each in head for each in self.says)


type Point = AtOutlook | AtStorage

_NOTES, _RECORD = (b"/upload-sessions/",), (b"comp=metadata",)
_SLICE = (b"/outlook-attachments/", b"bytes=4096-")
POINTS: tuple[Point, ...] = (
    *(
        AtOutlook(kind, taken)
        for kind in ("small_post", "create", "range", "last_range")
        for taken in (False, True)
    ),
    AtStorage("notes", b"PUT ", _NOTES, "request"),
    AtStorage("notes", b"PUT ", _NOTES, "answer"),
    AtStorage("second slice", b"GET ", _SLICE, "answer"),
    AtStorage("record", b"PUT ", _RECORD, "request"),
    AtStorage("record", b"PUT ", _RECORD, "answer"),
    AtStorage("notes forgotten", b"DELETE ", _NOTES, "answer"),
)


@dataclass
class Figures:
    """What came of it. ``again``: ranges sent again; ``over``: transfers that sent too many."""

    tried: int = 0
    killed: int = 0
    transfers: int = 0
    lost: int = 0
    doubled: int = 0
    corrupted: int = 0
    misreported: int = 0
    again: int = 0
    over: int = 0
    by_point: Counter[str] = field(default_factory=Counter)

    def merge(self, other: Self) -> None:
        """Count another's figures in."""
        for each in fields(self):
            counted = getattr(self, each.name) + getattr(other, each.name)
            setattr(self, each.name, counted)

    @property
    def bad(self) -> int:
        """The figures that must be zero, in all."""
        return self.lost + self.doubled + self.corrupted + self.misreported + self.over

    def __str__(self) -> str:
        return (
            f"figure 3: kills tried {self.tried}, killed {self.killed}, "
            f"transfers {self.transfers}, attachments lost {self.lost}, doubled {self.doubled}, "
            f"corrupted {self.corrupted}, misreported {self.misreported}, "
            f"ranges sent again {self.again}, "
            f"transfers with more than an activity's ranges again per kill {self.over}"
        )


@dataclass
class Transfer:
    """One blob on its way; ``kills`` the worker's deaths since it was put in."""

    blob: str
    item: str
    mailbox: str
    sha256: str
    kills: int = 0


class Killer:
    """The stack behind a storage gate, between ``with`` and its end, and a seeded hand."""

    def __init__(self, seed: int, log: int) -> None:
        self._draw = random.Random(seed)
        self._log = log
        self._running = ExitStack()
        self._transfers: list[Transfer] = []
        self._judged = 0
        self.figures = Figures()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            azurite = starting.enter_context(Azurite())
            self._gate = starting.enter_context(StorageGate(azurite.port))
            through = azurite.connection_string.replace(f":{azurite.port}/", f":{self._gate.port}/")
            settings = {
                "AzureWebJobsStorage": through,
                "RANGE_BYTES": str(RANGE_BYTES),
                "RANGES_PER_ACTIVITY": str(RANGES_PER_ACTIVITY),
                "RECONCILE_SECONDS": "2",
            }
            self._stack = starting.enter_context(Stack(settings=settings, log=self._log))
            outlook = self._stack.outlook
            # Large files begin at 2 KB here, so that thousands of them take no time.
            outlook.rules = replace(
                outlook.rules, minimum_session_bytes=1, maximum_post_bytes=2_000
            )
            service = BlobServiceClient.from_connection_string(azurite.connection_string)
            self._service = starting.enter_context(service)
            with suppress(ResourceExistsError):
                self._container.create_container()
            self._running = starting.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running.close()

    @property
    def _container(self) -> ContainerClient:
        return self._service.get_container_client(self._stack.info.container)

    def kill_at(self, point: Point) -> None:
        """Put two files in, wait for the point, and kill."""
        self.figures.tried += 1
        arrive = self._arm(point)
        self._put(SMALL)
        self._put(LARGE)
        until(arrive, str(point))
        worker = self._stack.info.worker_pid
        os.kill(worker, signal.SIGKILL)
        self.figures.killed += 1
        self.figures.by_point[str(point)] += 1
        for transfer in self._transfers[self._judged :]:
            transfer.kills += self._recorded(transfer) is None
        self._stack.outlook.faults.clear()
        self._gate.open()
        until(lambda: self._stack.info.worker_pid != worker or None, "another worker")

    def _arm(self, point: Point) -> Callable[[], object | None]:
        if isinstance(point, AtStorage):
            hold = self._gate.hold(point.matches, point.side)
            return lambda: hold.reached.is_set() or None
        outlook = self._stack.outlook
        misbehaviour = (
            catalogue.lost_answer("hang", hang_seconds=_HANG_SECONDS)
            if point.taken
            else catalogue.hang(_HANG_SECONDS)
        )
        before = sum(each.kind == point.kind for each in outlook.requests)
        # Every such request from there on, lest another transfer's take the place.
        occurrence = before + 1 + self._draw.randrange(3 if point.kind == "range" else 1)
        outlook.faults.add(
            Fault(misbehaviour=misbehaviour, kind=point.kind, occurrence=occurrence, times=None)
        )
        return lambda: outlook.faults.fired or None

    def _put(self, size: int) -> None:
        number = len(self._transfers)
        mailbox = f"mailbox{number}@contoso.com"
        self._stack.outlook.add_mailbox(mailbox)
        kind: ItemKind = "message" if self._draw.random() < 0.5 else "event"
        item = self._stack.outlook.add_item(mailbox, kind)
        content = self._draw.randbytes(size)
        md5 = bytearray(hashlib.md5(content, usedforsecurity=False).digest())
        blob = f"in/{number}.bin"
        self._container.upload_blob(
            blob,
            content,
            metadata={"mailbox": mailbox, f"{kind}id": item},
            content_settings=ContentSettings(content_md5=md5 if number % 3 else None),
        )
        sha256 = hashlib.sha256(content).hexdigest()
        self._transfers.append(Transfer(blob, item, mailbox, sha256))

    def settle(self) -> None:
        """Wait until every transfer has left its record, and judge them."""
        for transfer in self._transfers[self._judged :]:
            self._judge(transfer)
        self._judged = len(self._transfers)
        self._stack.outlook.clear()

    def _judge(self, transfer: Transfer) -> None:
        figures = self.figures
        figures.transfers += 1
        record = until(lambda: self._recorded(transfer), f"the record of {transfer.blob}")
        held = self._stack.outlook.attachments(transfer.mailbox, transfer.item)
        figures.lost += not held
        figures.doubled += len(held) > 1
        figures.corrupted += any(each.sha256 != transfer.sha256 for each in held)
        ids = [each.id for each in held]
        figures.misreported += [record.get("attachmentid", "")] != ids
        again = self._ranges_again(transfer)
        figures.again += again
        figures.over += again > RANGES_PER_ACTIVITY * transfer.kills

    def _recorded(self, transfer: Transfer) -> dict[str, str] | None:
        """The blob's metadata, if the transfer has left its record in it."""
        metadata = self._container.get_blob_client(transfer.blob).get_blob_properties().metadata
        return dict(metadata) if "attachmentstatus" in metadata else None

    def _ranges_again(self, transfer: Transfer) -> int:
        sent: defaultdict[int, int] = defaultdict(int)
        for request in self._stack.outlook.requests:
            if request.item == transfer.item and request.range is not None:
                sent[request.range.start] += 1
        return sum(times - 1 for times in sent.values())


def run(
    count: int, seed: int, *, log: int, batch: int = 20, end_at: float = float("inf")
) -> Figures:
    """Kill ``count`` times, every point as often as the others, and judge every transfer.

    ``end_at``: the moment, on the wall clock, after which no other batch is begun. Nor is one
    begun after something that never happened.
    """
    order: list[Point] = []
    draw = random.Random(seed)
    while len(order) < count:
        points = list(POINTS)
        draw.shuffle(points)
        order += points
    with Killer(seed, log) as killer:
        try:
            for number, point in enumerate(order[:count], 1):
                killer.kill_at(point)
                if number % batch == 0 or number == count:
                    killer.settle()
                    if time.time() > end_at:
                        break
        except TimeoutError as error:
            # Fewer kills than asked for: what came of the others is worth telling all the same.
            print(f"The kills end here, {error} (seed {seed})", file=sys.stderr)
        return killer.figures


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kills", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--log", default=os.devnull, help="a file for the app's log")
    arguments = parser.parse_args()
    log = os.open(arguments.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    figures = run(arguments.count, arguments.seed, log=log)
    print(f"{figures} (seed {arguments.seed})")
    return 1 if figures.bad or figures.killed != arguments.count else 0
