"""Runs schedules; the same seed always gives the same run.

``python -m tests.faults.schedules --seed N`` prints a schedule, its run and the findings.
"""

import argparse
import base64
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from azure.core.exceptions import ResourceNotFoundError

from infra.local.azurite import Azurite
from infra.local.outlook import Fault
from tests.support.faults.findings import Finding, Tally
from tests.support.faults.observed_transfer import ObservedTransfer
from tests.support.faults.schedule import Event, Schedule, draw
from tests.support.faults.scheduled_faults import ScheduledFaults
from tests.support.faults.testbed import Testbed
from tests.support.faults.trial import BLOB, DatedSource, Trial
from tests.support.harness import AS_SHIPPED, Product
from tests.support.virtual_app import MAILBOX


@dataclass(frozen=True)
class Outcome:
    """The result of a schedule: the transfers' outputs, the requests in order, the findings."""

    schedule: Schedule
    fired: Sequence[Fault]
    trace: tuple[str, ...]
    ends: tuple[str, ...]
    findings: list[Finding]

    def __str__(self) -> str:
        findings = [str(each) for each in self.findings] or ["no finding"]
        return "\n".join(
            [str(self.schedule), "", *self.trace, "", *self.ends, "", *findings],
        )


def run(testbed: Testbed, schedule: Schedule, product: Product = AS_SHIPPED) -> Outcome:
    """Run a schedule to its end and judge it."""
    product = replace(product, source=DatedSource, timeouts=(20.0, 20.0))
    settings = {
        "range_bytes": schedule.range_bytes,
        "ranges_per_activity": schedule.ranges_per_activity,
        "transfer_deadline_minutes": schedule.deadline_minutes,
    }
    with testbed.trial(schedule.rules, product, **settings) as trial:
        return _Run(schedule, trial).outcome()


@dataclass
class _Run:
    """A schedule that is being run."""

    schedule: Schedule
    trial: Trial
    foreign: set[str] = field(default_factory=set)
    version: int = 0

    def outcome(self) -> Outcome:
        """Run it, and the transfer of the content that it ends with; judge both."""
        schedule, emulator = self.schedule, self.trial.harness.emulator
        faults = ScheduledFaults(schedule)
        self._set_up()
        emulator.random_faults = faults
        transfers = [self._transfer(must_attach=schedule.must_attach)]
        self.trial.run(
            transfers[0],
            before=partial(self._before, transfers[0]),
            twice=lambda step: step in schedule.delivered_twice,
            between=partial(self._between, transfers[0]),
        )
        if self.version and self.trial.blob_exists():
            # New content has an event of its own.
            transfers[0].content_is_current = False
            transfers.append(self._transfer(must_attach=_without_events(schedule).must_attach))
            self.trial.run(transfers[1])
        emulator.random_faults = None
        return Outcome(
            schedule,
            faults.fired,
            tuple(self._trace()),
            tuple(f"{each.engine.performed} {each.engine.output}" for each in transfers),
            self._findings(transfers),
        )

    @property
    def _item(self) -> str:
        digits = random.Random(f"{self.schedule.seed} item").randbytes(33)
        return "AAkA" + base64.urlsafe_b64encode(digits).decode()

    def _set_up(self) -> None:
        kind = self.schedule.item_kind
        self.trial.harness.emulator.add_item(MAILBOX, kind, item_id=self._item)
        for n in range(self.schedule.attached_before):
            self._attach(f"earlier {n}".encode())
        self._put()

    def _put(self) -> None:
        content = self.schedule.content(self.version)
        address = {"mailbox": MAILBOX, f"{self.schedule.item_kind}id": self._item}
        self.trial.put_blob(content, address, has_md5=self.schedule.has_md5)

    def _attach(self, content: bytes) -> None:
        self.foreign.add(self.trial.attach_as_another_client(self._item, content))

    def _transfer(self, *, must_attach: bool) -> ObservedTransfer:
        harness, schedule = self.trial.harness, self.schedule
        id_, payload = harness.start(BLOB)
        # The part after the fingerprint depends on the ETag, which no seed determines.
        id_ = f"{id_[:17]}{schedule.seed:012x}{self.version:04x}"
        engine = harness.start_engine(id_, payload)
        transfer = self.trial.observe(self._item, schedule.content(self.version), engine)
        transfer.must_attach = must_attach
        transfer.may_be_unknown = "another client attached" in schedule.all_events
        return transfer

    def _before(self, transfer: ObservedTransfer, step: int) -> None:
        for at, event in self.schedule.events:
            if at == step and not transfer.engine.is_over:
                self._happen(event, transfer)

    def _between(self, transfer: ObservedTransfer, step: int) -> None:
        for at, event in self.schedule.between:
            if at == step:
                self._happen(event, transfer)

    def _happen(self, event: Event, transfer: ObservedTransfer) -> None:
        # An event that needs the blob does nothing once it is deleted.
        with suppress(ResourceNotFoundError):
            match event:
                case "metadata written":
                    self.trial.add_metadata()
                case "properties written":
                    self.trial.clear_md5()
                case "overwritten":
                    self.version += 1
                    self._put()
                    if self.schedule.overwrite_moves_creation:
                        self.trial.move_creation_time()
                case "deleted":
                    self.trial.delete_blob()
                case "cancelled":
                    transfer.engine.raise_event("cancel")
                case "another client attached":
                    self._attach(bytes(self.schedule.size + len(self.foreign) % 2 + 2))

    def _findings(self, transfers: list[ObservedTransfer]) -> list[Finding]:
        referee, foreign = self.trial.referee, frozenset(self.foreign)
        contents = [self.schedule.content(version) for version in range(self.version + 1)]
        found = referee.corrupted(MAILBOX, self._item, contents, foreign)
        for n, transfer in enumerate(transfers):
            transfer.foreign = foreign
            until = transfers[n + 1].first_request if n + 1 < len(transfers) else None
            found += referee.judge(transfer, until)
        return found

    def _trace(self) -> list[str]:
        return [
            f"{each.at:%H:%M:%S.%f} #{each.index} {each.kind} {each.range or ''} "
            f"-> {each.status} {each.fault or ''}".rstrip()
            for each in self.trial.harness.emulator.requests
        ]


def _without_events(schedule: Schedule) -> Schedule:
    return replace(schedule, events=(), between=())


def run_all(testbed: Testbed, seeds: Sequence[int], product: Product = AS_SHIPPED) -> Tally:
    """Run the schedules of these seeds; the figures."""
    tally = Tally()
    for seed in seeds:
        outcome = run(testbed, draw(seed), product)
        tally.add(f"seed {seed}", len(outcome.fired), outcome.findings)
    return tally


def main() -> None:
    """Print one schedule, its run and the findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.schedules")
    parser.add_argument("--seed", type=int, required=True)
    seed = parser.parse_args().seed
    with Azurite() as azurite, Testbed.open(azurite.connection_string) as testbed:
        print(run(testbed, draw(seed)))
