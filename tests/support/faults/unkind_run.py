"""Runs schedules on the unkind engine; the same seed always gives the same run."""

import hashlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from shared.errors import AttachmentNotFound
from shared.storage.ledger import Ledger
from shared.transfer.payloads import TransferStatus
from shared.transfer.service.attachments import Attachments
from tests.support.engine.adversary import Adversary, Adversity
from tests.support.engine.virtual_engine import VERSION
from tests.support.faults.few_faults import FewFaults
from tests.support.faults.findings import Finding
from tests.support.faults.log_capture import captured_log
from tests.support.faults.unkind_judge import judge
from tests.support.faults.unkind_others import Others
from tests.support.faults.unkind_schedule import UnkindSchedule
from tests.support.in_memory.unkind_app import Alter, UnkindApp

_MAX_STEPS = 4_000


@dataclass(frozen=True)
class UnkindOutcome:
    """The result of a schedule: what fired, the requests in order, the ends, the findings."""

    schedule: UnkindSchedule
    fired: Counter[Adversity]
    trace: tuple[str, ...]
    ends: tuple[str, ...]
    findings: list[Finding]

    def __str__(self) -> str:
        findings = [str(each) for each in self.findings] or ["no finding"]
        fired = f"fired: {dict(self.fired)}"
        lines = [str(self.schedule), "", *self.trace, "", *self.ends, "", fired, *findings]
        return "\n".join(lines)


@dataclass(frozen=True)
class _Run:
    """A schedule that is being run."""

    schedule: UnkindSchedule
    app: UnkindApp
    others: Others

    def outcome(self) -> UnkindOutcome:
        """Run it, and judge what every content came to."""
        app = self.app
        app.service.random_faults = FewFaults(
            self.schedule.seed, self.schedule.fault_rate, self.schedule.max_faults, app.adversary
        )
        self._set_up()
        # An app that is updated starts no transfer of the old version.
        app.version = VERSION
        self._happenings()
        self._create_late_items()
        app.service.random_faults = None
        self._remove()
        for _ in range(2):
            app.deliveries.deliver_the_rest()
            self._settle()
            for number in range(len(self.schedule.files)):
                self.others.deliver(number)
            self._settle()
        engines = list(app.engines.values())
        return UnkindOutcome(
            self.schedule,
            app.adversary.fired,
            tuple(self._trace()),
            tuple(f"{each.instance_id} {each.performed} {each.output}" for each in engines),
            judge(self.schedule, app, self.others.known),
        )

    # --- the parts of a run ---

    def _set_up(self) -> None:
        files = self.schedule.files
        for number in range(1 + max(each.item for each in files)):
            digits = hashlib.sha256(f"{self.schedule.seed} item {number}".encode()).hexdigest()
            self.others.items.append(f"AAkA{digits[:44]}")
            if not self.others.is_late(number):
                self.others.create_item(number)
        for number in range(len(files)):
            self.others.put(number)
        for number in range(len(files)):
            self.others.deliver(number)

    def _happenings(self) -> None:
        """All that happens from outside, each at its step, and then the rest."""
        left = list(self.schedule.happenings)
        for step in range(_MAX_STEPS):
            while left and left[0][0] <= step:
                _, what, number = left.pop(0)
                self.others.happen(what, number)
            if not self.app.step_once():
                if not left:
                    return
                _, what, number = left.pop(0)
                self.others.happen(what, number)

    def _settle(self) -> None:
        for _ in range(_MAX_STEPS):
            if not self.app.step_once():
                return

    def _create_late_items(self) -> None:
        """What failed is ordered again, twice at once, when its item is there."""
        for number, file in enumerate(self.schedule.files):
            if self.others.is_late(file.item):
                self.others.create_item(file.item)
                self.others.happen("two orders", number)
        self._settle()

    def _remove(self) -> None:
        """Remove attachments by the API, as a user does."""
        app = self.app
        # Outlook shows it by then.
        app.clock.advance(60)
        attachments = Attachments(
            app.settings, app.source, Ledger(app.tables), app.graph, app.listing
        )
        for number in self.schedule.removed:
            id_ = self.others.deliver(number)
            self._settle()
            engine = app.latest(id_)
            status = TransferStatus.from_json(engine.output or {"blob": ""}) if engine else None
            if status and status.state == "attached":
                # A product without its ledger knows no attachment.
                with suppress(AttachmentNotFound):
                    attachments.remove(id_, status)
                    app.removed.add(id_)

    def _trace(self) -> list[str]:
        return [
            f"{each.at:%d %H:%M:%S.%f} #{each.index} {each.kind} {each.range or ''} "
            f"-> {each.status} {each.fault or ''}".rstrip()
            for each in self.app.service.recorder.requests
        ]


def run(schedule: UnkindSchedule, alter: Alter | None = None) -> UnkindOutcome:
    """Run a schedule to its end and judge it."""
    with captured_log():
        return _run(schedule, alter)


def _run(schedule: UnkindSchedule, alter: Alter | None) -> UnkindOutcome:
    adversary = Adversary(schedule.seed, schedule.rates)
    app = UnkindApp(
        adversary,
        rules=schedule.rules,
        version=schedule.version,
        alter=alter or (lambda _, parts: parts),
        range_bytes=schedule.range_bytes,
        ranges_per_activity=schedule.ranges_per_activity,
        mailbox_window_bytes=schedule.mailbox_window_bytes,
    )
    try:
        return _Run(schedule, app, Others(schedule, app)).outcome()
    finally:
        app.close()
