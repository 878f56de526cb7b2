"""Kills the worker at exact points of transfers on the local stack, and counts the damage.

Points: before Outlook reads a request; after it accepted one, before the response; while the
worker writes to storage before or after that, its activity not yet complete. Transfers overlap:
a kill hits the one it aims at and everything else that runs.
"""

import argparse
import hashlib
import os
import random
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient, ContainerClient, ContentSettings

from infra.local.azurite import Azurite
from infra.local.outlook import Fault, ItemKind, catalogue
from infra.local.stack import Stack
from tests.support.faults.kill_figures import KillFigures
from tests.support.faults.kill_points import POINTS, RANGE_BYTES, AtStorage, Point
from tests.support.faults.storage_proxy import StorageProxy
from tests.support.waiting import until

RANGES_PER_ACTIVITY = 3
SMALL, LARGE = 900, 7 * RANGE_BYTES + 1
_HANG_SECONDS = 60.0


@dataclass
class Transfer:
    """One blob that was uploaded; ``kills`` counts the kills since then."""

    blob: str
    item: str
    mailbox: str
    sha256: str
    kills: int = 0


class Killer:
    """A local stack behind a storage proxy, and the kills of its worker; a context manager."""

    def __init__(self, seed: int, log: int) -> None:
        self._draw = random.Random(seed)
        self._log = log
        self._running = ExitStack()
        self._transfers: list[Transfer] = []
        self._judged = 0
        self.figures = KillFigures()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            azurite = starting.enter_context(Azurite())
            self._blobs = starting.enter_context(StorageProxy(azurite.port))
            self._tables = starting.enter_context(StorageProxy(azurite.table_port))
            connection = azurite.connection_string
            for port, proxy in (
                (azurite.port, self._blobs),
                (azurite.table_port, self._tables),
            ):
                connection = connection.replace(f":{port}/", f":{proxy.port}/")
            settings = {
                "AzureWebJobsStorage": connection,
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
        """Upload two files, wait for the point, and kill the worker."""
        self.figures.tried += 1
        reached = self._arm(point)
        self._put(SMALL)
        self._put(LARGE)
        until(reached, str(point))
        worker = self._stack.info.worker_pid
        os.kill(worker, signal.SIGKILL)
        self.figures.killed += 1
        self.figures.by_point[str(point)] += 1
        for transfer in self._transfers[self._judged :]:
            transfer.kills += self._recorded(transfer) is None
        self._stack.outlook.faults.clear()
        for proxy in (self._blobs, self._tables):
            proxy.open()
        until(lambda: self._stack.info.worker_pid != worker or None, "another worker")

    def _arm(self, point: Point) -> Callable[[], object | None]:
        if isinstance(point, AtStorage):
            proxy = self._tables if point.of_tables else self._blobs
            hold = proxy.hold(point.matches, point.side)
            return lambda: hold.reached.is_set() or None
        outlook = self._stack.outlook
        misbehaviour = (
            catalogue.lost_answer("hang", hang_seconds=_HANG_SECONDS)
            if point.accepted
            else catalogue.hang(_HANG_SECONDS)
        )
        before = sum(each.kind == point.kind for each in outlook.requests)
        # Every such request from there on: another transfer's may come first.
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
        """Wait until every transfer has a record, and judge it."""
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
        resent = self._resent_ranges(transfer)
        figures.resent += resent
        figures.over += resent > RANGES_PER_ACTIVITY * transfer.kills

    def _recorded(self, transfer: Transfer) -> dict[str, str] | None:
        """The blob's metadata, if the record is in it."""
        metadata = self._container.get_blob_client(transfer.blob).get_blob_properties().metadata
        return dict(metadata) if "attachmentstatus" in metadata else None

    def _resent_ranges(self, transfer: Transfer) -> int:
        sent: defaultdict[int, int] = defaultdict(int)
        for request in self._stack.outlook.requests:
            if request.item == transfer.item and request.range is not None:
                sent[request.range.start] += 1
        return sum(times - 1 for times in sent.values())


def run(
    count: int, seed: int, *, log: int, batch: int = 20, end_at: float = float("inf")
) -> KillFigures:
    """Kill ``count`` times, at every point equally often, and judge every transfer.

    No batch is started after ``end_at``, a time of the wall clock, nor after a timeout.
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
            # Fewer kills than wanted; the figures of the others still count.
            print(f"The kills stop here, {error} (seed {seed})", file=sys.stderr)
        return killer.figures


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kills", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--log", default=os.devnull, help="a file for the app's log")
    arguments = parser.parse_args()
    log = os.open(arguments.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    figures = run(arguments.count, arguments.seed, log=log)
    print(f"{figures} (seed {arguments.seed})")
    return 1 if figures.bad or figures.killed != arguments.count else 0
