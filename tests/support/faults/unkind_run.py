"""Runs schedules on the unkind engine; the same seed always gives the same run."""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

import azure.durable_functions as df

from infra.local.outlook import Arrival, Fault, SeededFaults
from shared.outlook.item import OutlookItem
from shared.transfer.payloads import TransferStatus
from shared.transfer.service.attachments import Attachments
from shared.transfer.service.requests import AttachRequest
from shared.transfer.transfer_id import instance_id
from shared.transfer.workflow.orchestrator import CANCEL
from tests.support.engine.adversary import Adversary, Adversity
from tests.support.engine.virtual_engine import VERSION
from tests.support.faults.fault_sets import TRANSIENT
from tests.support.faults.findings import UNKIND_FIGURES, Finding, Tally
from tests.support.faults.unkind_judge import Known, judge
from tests.support.faults.unkind_schedule import File, Happening, UnkindSchedule, draw
from tests.support.in_memory.unkind_app import Alter, UnkindApp
from tests.support.in_memory.unkind_client import Answered
from tests.support.virtual_app import MAILBOX

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


class FewFaults:
    """Transient faults of Outlook, at most so many."""

    def __init__(self, schedule: UnkindSchedule, fired: Counter[Adversity]) -> None:
        self._drawn = SeededFaults(
            random.Random(f"{schedule.seed} faults"), schedule.fault_rate, TRANSIENT
        )
        self._left = schedule.max_faults
        self._fired = fired

    def choose(self, arrival: Arrival) -> Fault | None:
        """The fault for this request, if any."""
        fault = self._drawn.choose(arrival) if self._left else None
        self._left -= fault is not None
        return fault

    def confirm(self, fault: Fault) -> None:  # noqa: ARG002 (only their number counts)
        """Count it as fired."""
        self._fired["fault of Outlook"] += 1


@dataclass
class _Run:
    """A schedule that is being run. ``known`` are the contents so far, by transfer."""

    schedule: UnkindSchedule
    app: UnkindApp
    items: list[str] = field(default_factory=list)
    versions: Counter[int] = field(default_factory=Counter)
    known: dict[str, Known] = field(default_factory=dict)

    def outcome(self) -> UnkindOutcome:
        """Run it, and judge what every content came to."""
        app = self.app
        app.service.random_faults = FewFaults(self.schedule, app.adversary.fired)
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
                self._deliver(number)
            self._settle()
        engines = list(app.engines.values())
        return UnkindOutcome(
            self.schedule,
            app.adversary.fired,
            tuple(self._trace()),
            tuple(f"{each.instance_id} {each.performed} {each.output}" for each in engines),
            judge(self.schedule, app, self.known),
        )

    # --- the parts of a run ---

    def _set_up(self) -> None:
        files = self.schedule.files
        for number in range(1 + max(each.item for each in files)):
            digits = hashlib.sha256(f"{self.schedule.seed} item {number}".encode()).hexdigest()
            self.items.append(f"AAkA{digits[:44]}")
            if not self._is_late(number):
                self._create_item(number)
        for number in range(len(files)):
            self._put(number)
        for number in range(len(files)):
            self._deliver(number)

    def _is_late(self, item: int) -> bool:
        return any(each.late and each.item == item for each in self.schedule.files)

    def _create_item(self, number: int) -> None:
        mailbox = self.app.service.tenant.mailboxes.find(MAILBOX)
        mailbox.create("message", "", item_id=self.items[number])

    def _happenings(self) -> None:
        """All that happens from outside, each at its step, and then the rest."""
        left = list(self.schedule.happenings)
        for step in range(_MAX_STEPS):
            while left and left[0][0] <= step:
                _, what, number = left.pop(0)
                self._happen(what, number)
            if not self.app.step_once():
                if not left:
                    return
                _, what, number = left.pop(0)
                self._happen(what, number)

    def _settle(self) -> None:
        for _ in range(_MAX_STEPS):
            if not self.app.step_once():
                return

    def _create_late_items(self) -> None:
        """What failed is ordered again, twice at once, when its item is there."""
        for number, file in enumerate(self.schedule.files):
            if self._is_late(file.item):
                if self.items[file.item] not in self._mailbox_items:
                    self._create_item(file.item)
                self._happen("two orders", number)
        self._settle()

    @property
    def _mailbox_items(self) -> set[str]:
        return set(self.app.service.tenant.mailboxes.find(MAILBOX).items)

    def _remove(self) -> None:
        """Remove attachments by the API, as a user does."""
        app = self.app
        attachments = Attachments(app.settings, app.source, app.graph)
        for number in self.schedule.removed:
            id_ = self._deliver(number)
            self._settle()
            engine = app.latest(id_)
            status = TransferStatus.from_json(engine.output or {"blob": ""}) if engine else None
            if status and status.state == "attached":
                attachments.remove(id_, status)
                app.removed.add(id_)

    # --- what happens from outside ---

    def _happen(self, what: Happening, number: int) -> None:
        match what:
            case "event":
                self._deliver(number)
            case "two events":
                self._deliver(number)
                self._deliver(number)
            case "two orders":
                self._order([number], times=2)
            case "order of all":
                item = self.schedule.files[number].item
                same = [n for n, each in enumerate(self.schedule.files) if each.item == item]
                self._order(same, times=1)
            case "metadata replaced":
                self._replace_metadata(number)
            case "metadata written":
                self.app.blobs.annotate(self._name(number), seen="yes")
            case "overwritten":
                self.versions[number] += 1
                self.app.clock.advance(1)
                self._put(number)
                self._deliver(number)
            case "cancelled":
                self._cancel(number)

    def _file(self, number: int) -> File:
        return self.schedule.files[number]

    def _name(self, number: int) -> str:
        return self._file(number).name

    def _address(self, number: int) -> dict[str, str]:
        return {"mailbox": MAILBOX, "messageid": self.items[self.schedule.files[number].item]}

    def _put(self, number: int) -> None:
        content = self.schedule.content(number, self.versions[number])
        md5 = hashlib.md5(content, usedforsecurity=False).digest()
        self.app.blobs.put(self._name(number), content, md5, self._address(number))

    def _deliver(self, number: int) -> str:
        id_ = self._know(number)
        assert self.app.deliver(self._name(number)) == id_
        return id_

    def _know(self, number: int) -> str:
        """The id of the transfer of the file's content."""
        item = OutlookItem(MAILBOX, "message", self.items[self._file(number).item])
        id_ = instance_id(self.app.source.look(self._name(number)), str(item))
        if id_ in self.known:
            self.app.adversary.confirm("event repeated")
        else:
            self.known[id_] = Known(number, self.versions[number], item.id)
        return id_

    def _order(self, numbers: Sequence[int], times: int) -> None:
        address = self._address(numbers[0])
        attach = AttachRequest.model_validate(
            {
                "mailbox": MAILBOX,
                "messageId": address["messageid"],
                "blobs": [self._name(number) for number in numbers],
            }
        )
        client = cast("df.DurableFunctionsClient", self.app.client)

        async def order() -> None:
            orders = [self.app.starter.from_request(client, attach) for _ in range(times)]
            await asyncio.gather(*orders)

        for number in numbers:
            self._know(number)
        self.app.loop.run(order())
        if times > 1:
            self.app.adversary.confirm("two orders at once")

    def _replace_metadata(self, number: int) -> None:
        name = self._name(number)
        blob = self.app.blobs.blob(name)
        self.app.blobs.set_metadata(name, self._address(number), blob.etag)
        self.app.adversary.confirm("metadata replaced")
        self._deliver(number)

    def _cancel(self, number: int) -> None:
        client = self.app.client
        id_ = next(reversed([k for k, each in self.known.items() if each.file == number]))
        with suppress(Answered):
            self.app.loop.run(client.raise_orchestration_event(id_, CANCEL))

    def _trace(self) -> list[str]:
        return [
            f"{each.at:%d %H:%M:%S.%f} #{each.index} {each.kind} {each.range or ''} "
            f"-> {each.status} {each.fault or ''}".rstrip()
            for each in self.app.service.recorder.requests
        ]


def run(schedule: UnkindSchedule, alter: Alter | None = None) -> UnkindOutcome:
    """Run a schedule to its end and judge it."""
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
        return _Run(schedule, app).outcome()
    finally:
        app.close()


def run_all(seeds: Sequence[int], alter: Alter | None = None) -> tuple[Tally, Counter[Adversity]]:
    """Run the schedules of these seeds; the figures, and how often each adversity fired."""
    tally, fired = Tally(columns=UNKIND_FIGURES), Counter[Adversity]()
    for seed in seeds:
        outcome = run(draw(seed), alter)
        fired.update(outcome.fired)
        tally.add(f"seed {seed}", outcome.fired.total(), outcome.findings)
    return tally, fired
