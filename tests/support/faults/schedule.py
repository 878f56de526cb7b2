"""Seeded schedules: one seed draws the service's ways, the file, the faults and what else happens.

``python -m tests.faults.schedules --seed N`` prints the schedule of a seed, what came of it and
the verdict; the same seed always gives the same run.
"""

import argparse
import base64
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from functools import partial
from typing import Literal, get_args

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ContentSettings

from infra.local.azurite import Azurite
from infra.local.outlook import (
    Arrival,
    Fault,
    ItemKind,
    Misbehaviour,
    Rules,
    SeededFaults,
    families,
)
from tests.support.faults.referee import Finding, Tally, Transfer
from tests.support.faults.testbed import BLOB, Bench, DatedSource, Trial
from tests.support.harness import AS_SHIPPED, MAILBOX, Harness, Product

Event = Literal[
    "metadata written",
    "properties written",
    "overwritten",
    "deleted",
    "cancelled",
    "another writer",
]

FILE_NAME = "report.pdf"
# Seconds. Such a connection hangs, and is reset before any client loses patience.
HANG = 0.02
TRANSIENT = families.transient(hang_seconds=HANG)
PERMANENT = families.permanent()

SMALL_RANGE, LARGE_RANGE = 1_000, 1_000_000
_BOUNDARIES = (3_000_000, 3_145_728)
# Faults that a transfer must get over: a fifth attempt that makes no progress is the last.
_SURVIVED = 4
# What the product may take for the truth when it comes so often: a token refused twice in a row,
# an item that is not found again and again.
_AT_MOST = {401: 1, 404: 2}


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What a seed draws. Steps are those of the orchestration: activities and timers."""

    seed: int
    rules: Rules
    size: int
    item_kind: ItemKind
    range_bytes: int
    ranges_per_activity: int
    deadline_minutes: float
    attached_before: int
    has_md5: bool
    overwrite_moves_creation: bool
    fault_rate: float
    faults_at_most: int
    permanent: str | None
    events: tuple[tuple[int, Event], ...]
    delivered_twice: frozenset[int]
    between: tuple[tuple[int, Event], ...]

    @property
    def must_attach(self) -> bool:
        """Whether nothing in it excuses another end."""
        ends: set[Event] = {"overwritten", "deleted", "cancelled", "properties written"}
        return (
            self.faults_at_most <= _SURVIVED
            and self.permanent is None
            and self.rules.mailbox_limit_bytes is None
            and self.deadline_minutes >= 60
            and ends.isdisjoint(self.happenings)
        )

    @property
    def happenings(self) -> set[Event]:
        """What happens beside the transfer at all, whenever it is."""
        return {event for _, event in (*self.events, *self.between)}

    def content(self, version: int) -> bytes:
        """The blob's content, and the other one that it is overwritten with."""
        # Without an MD5 and a time of its own, only its size tells new content from old.
        grows = self.seed % 2 or not self.size
        grows = grows or not (self.has_md5 or self.overwrite_moves_creation)
        size = self.size + version if grows else self.size
        content = random.Random(f"{self.seed} content {version}").randbytes(size)
        if version and self.size:
            # Another one even where it is a single byte.
            content = bytes([(self.content(0)[0] + version) % 256]) + content[1:]
        return content

    def __str__(self) -> str:
        lines = [f"{each.name}: {getattr(self, each.name)}" for each in fields(self)]
        return "\n".join(lines)


def draw(seed: int) -> Schedule:
    """The schedule of a seed."""
    rng = random.Random(seed)
    rules, size, range_bytes = _service(rng)
    storm = rng.random() < 0.1
    permanent = rng.choice(PERMANENT).name if rng.random() < 0.05 else None
    events, twice = _events(rng), _twice(rng)
    return Schedule(
        seed=seed,
        rules=rules,
        size=size,
        item_kind=rng.choice(("message", "event")),
        range_bytes=range_bytes,
        ranges_per_activity=rng.choice((1, 2, 3)),
        deadline_minutes=rng.choice((1.0, 5.0)) if rng.random() < 0.1 else 240.0,
        attached_before=rng.choice((0, 0, 0, 1, 11)),
        has_md5=rng.random() < 0.85,
        overwrite_moves_creation=rng.random() < 0.5,
        fault_rate=rng.uniform(0.1, 0.6),
        faults_at_most=40 if storm else rng.randint(0, _SURVIVED),
        permanent=permanent,
        events=events,
        delivered_twice=twice,
        between=_between(random.Random(f"{seed} between"), twice),
    )


def _service(rng: random.Random) -> tuple[Rules, int, int]:
    """One way the service may be, a size and the bytes of a range."""
    large = rng.random() < 0.12
    if large:
        range_bytes, minimum = LARGE_RANGE, rng.choice(_BOUNDARIES)
        size = rng.choice(_BOUNDARIES) + rng.choice((-1, 0, 1))
        # Room for the largest file that is refused a session.
        post_bytes = 4_500_000
    else:
        r = range_bytes = SMALL_RANGE
        minimum = 1
        size = rng.choice((0, 1, r - 1, r, r + 1, 2 * r, 2 * r + 1))
        post_bytes = rng.choice((1_000, 4_194_304))
    rules = Rules(
        minimum_session_bytes=minimum,
        maximum_post_bytes=post_bytes,
        mailbox_limit_bytes=size // 2 if size > 1 and rng.random() < 0.03 else None,
        session_state=rng.choice(("answered", "405")),
        repeated_range=rng.choice(("416", "400", "200")),
        next_ranges_key=rng.choice(("NextExpectedRanges", "nextExpectedRanges")),
        next_range_form=rng.choice(("2097152", "2097152-", "2097152-4194303")),
        location_ids=rng.choice(("as asked", "mutable")),
        session_minutes=rng.choice((60, 60, 60, 2)),
        commit_visible_after=rng.choice((0, 0, 0, 2, 45)),
        page_size=rng.choice((1, 2, 10)),
    )
    return rules, size, range_bytes


def _events(rng: random.Random) -> tuple[tuple[int, Event], ...]:
    if rng.random() < 0.6:
        return ()
    events: tuple[Event, ...] = (
        "metadata written",
        "overwritten",
        "deleted",
        "cancelled",
        "another writer",
    )
    drawn = [(rng.randint(0, 9), rng.choice(events)) for _ in range(rng.choice((1, 1, 2)))]
    return tuple(sorted(drawn))


def _twice(rng: random.Random) -> frozenset[int]:
    if rng.random() < 0.5:
        return frozenset()
    return frozenset(step for step in range(30) if rng.random() < 0.2)


def _between(rng: random.Random, twice: frozenset[int]) -> tuple[tuple[int, Event], ...]:
    """What happens between two deliveries of a step, in half of the runs that have any."""
    early = sorted(step for step in twice if step < 12)
    if not early or rng.random() < 0.5:
        return ()
    events: tuple[Event, ...] = get_args(Event)
    return tuple((step, rng.choice(events)) for step in rng.sample(early, 1))


class ScheduledFaults:
    """The faults of a schedule: transient ones at its rate, and the permanent one once drawn.

    A permanent misbehaviour goes on for its kind of request, as it does in life.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.fired: list[Fault] = []
        generator = random.Random(f"{schedule.seed} faults")
        self._left = schedule.faults_at_most
        self._storm = schedule.faults_at_most > _SURVIVED
        self._drawn = SeededFaults(generator, schedule.fault_rate, TRANSIENT)
        self._permanent = next((m for m in PERMANENT if m.name == schedule.permanent), None)
        self._begins = generator.randint(0, 6)
        self._of_status: dict[int, int] = {}

    def choose(self, arrival: Arrival) -> Fault | None:
        """The fault that the request is to meet."""
        lasting = self._permanent
        if lasting and arrival.index >= self._begins and arrival.kind in lasting.kinds:
            return Fault(misbehaviour=lasting, index=arrival.index)
        fault = self._drawn.choose(arrival)
        if fault is None or self._left <= 0 or self._is_too_often(fault.misbehaviour):
            return None
        self._left -= 1
        return fault

    def confirm(self, fault: Fault) -> None:
        """Note that a fault really fired."""
        self.fired.append(fault)

    def _is_too_often(self, misbehaviour: Misbehaviour) -> bool:
        refusal = misbehaviour.refusal
        if self._storm or refusal is None or refusal.status not in _AT_MOST:
            return False
        met = self._of_status.get(refusal.status, 0)
        self._of_status[refusal.status] = met + 1
        return met >= _AT_MOST[refusal.status]


@dataclass(frozen=True)
class Outcome:
    """What came of a schedule: the transfers' ends, the requests in order, and the findings."""

    schedule: Schedule
    fired: Sequence[Fault]
    trace: tuple[str, ...]
    ends: tuple[str, ...]
    findings: list[Finding]

    def __str__(self) -> str:
        findings = [str(each) for each in self.findings] or ["nothing is wrong"]
        return "\n".join(
            [str(self.schedule), "", *self.trace, "", *self.ends, "", *findings],
        )


def run(bench: Bench, schedule: Schedule, product: Product = AS_SHIPPED) -> Outcome:
    """Run a schedule to its end and judge it."""
    product = replace(product, source=DatedSource, timeouts=(20.0, 20.0))
    settings = {
        "range_bytes": schedule.range_bytes,
        "ranges_per_activity": schedule.ranges_per_activity,
        "transfer_deadline_minutes": schedule.deadline_minutes,
    }
    with bench.trial(schedule.rules, product, **settings) as trial:
        return Performance(schedule, trial).outcome()


@dataclass
class Performance:
    """A schedule that is being run."""

    schedule: Schedule
    trial: Trial
    held: set[str] = field(default_factory=set)
    version: int = 0

    def outcome(self) -> Outcome:
        """Run it, and what it leads to; judge every transfer."""
        schedule, harness = self.schedule, self.trial.harness
        faults = ScheduledFaults(schedule)
        self._set_up()
        harness.emulator.random_faults = faults
        transfers = [self._transfer()]
        self.trial.run(
            transfers[0],
            before=partial(self._before, transfers[0]),
            twice=lambda step: step in schedule.delivered_twice,
            between=partial(self._between, transfers[0]),
        )
        if self.version and self._blob_exists():
            # New content has an event of its own.
            transfers[0].blob_kept = False
            transfers.append(self._transfer(must_attach=_without_events(schedule).must_attach))
            self.trial.run(transfers[1])
        harness.emulator.random_faults = None
        return Outcome(
            schedule,
            faults.fired,
            tuple(self._trace()),
            tuple(f"{each.engine.performed} {each.engine.output}" for each in transfers),
            list(self._findings(transfers)),
        )

    @property
    def _harness(self) -> Harness:
        return self.trial.harness

    @property
    def _item(self) -> str:
        digits = random.Random(f"{self.schedule.seed} item").randbytes(33)
        return "AAkA" + base64.urlsafe_b64encode(digits).decode()

    def _set_up(self) -> None:
        emulator, kind = self._harness.emulator, self.schedule.item_kind
        emulator.add_item(MAILBOX, kind, item_id=self._item)
        for n in range(self.schedule.attached_before):
            self._attach_another(f"earlier {n}".encode())
        self._put()

    def _put(self) -> None:
        content = self.schedule.content(self.version)
        metadata = {"mailbox": MAILBOX, f"{self.schedule.item_kind}id": self._item}
        if self.schedule.has_md5 or not content:
            self._harness.put(BLOB, content, **metadata)
            return
        blob = self._harness.container.get_blob_client(BLOB)
        blob.stage_block("MDAx", content)
        settings = ContentSettings(content_type="application/pdf")
        ids = ["MDAx"]
        blob.commit_block_list(ids, metadata=metadata, content_settings=settings)  # type: ignore[arg-type]  # ids will do

    def _attach_another(self, content: bytes) -> None:
        emulator = self._harness.emulator
        self.held.add(emulator.attach(MAILBOX, self._item, FILE_NAME, content).id)

    def _transfer(self, *, must_attach: bool | None = None) -> Transfer:
        harness, schedule = self._harness, self.schedule
        id_, payload = harness.start(BLOB)
        # What follows the fingerprint hangs on the ETag, which no seed decides.
        id_ = f"{id_[:17]}{schedule.seed:012x}{self.version:04x}"
        return Transfer(
            item=self._item,
            mailbox=MAILBOX,
            blob=BLOB,
            content=schedule.content(self.version),
            engine=harness.engine(id_, payload),
            deadline=timedelta(minutes=schedule.deadline_minutes),
            first_request=len(harness.emulator.requests),
            must_attach=schedule.must_attach if must_attach is None else must_attach,
            may_not_know="another writer" in schedule.happenings,
            begun=harness.clock.now,
        )

    def _before(self, transfer: Transfer, step: int) -> None:
        for at, event in self.schedule.events:
            if at == step and not transfer.engine.is_over:
                self._happen(event, transfer)

    def _between(self, transfer: Transfer, step: int) -> None:
        for at, event in self.schedule.between:
            if at == step:
                self._happen(event, transfer)

    def _happen(self, event: Event, transfer: Transfer) -> None:
        blob = self._harness.container.get_blob_client(BLOB)
        match event:
            case "metadata written":
                with suppress(ResourceNotFoundError):
                    blob.set_blob_metadata(self._harness.metadata(BLOB) | {"seen": "yes"})
            case "properties written":
                with suppress(ResourceNotFoundError):
                    # Without an MD5 among them, the blob has none any more.
                    blob.set_http_headers(ContentSettings(content_type="application/pdf"))
            case "overwritten":
                self.version += 1
                self._put()
                source = self._harness.source
                if self.schedule.overwrite_moves_creation and isinstance(source, DatedSource):
                    source.created += timedelta(seconds=1)
            case "deleted":
                with suppress(ResourceNotFoundError):
                    blob.delete_blob()
            case "cancelled":
                transfer.engine.raise_event("cancel")
            case "another writer":
                self._attach_another(bytes(self.schedule.size + len(self.held) % 2 + 2))

    def _blob_exists(self) -> bool:
        return bool(self._harness.container.get_blob_client(BLOB).exists())

    def _findings(self, transfers: list[Transfer]) -> list[Finding]:
        referee, held = self.trial.referee, frozenset(self.held)
        contents = [self.schedule.content(version) for version in range(self.version + 1)]
        found = referee.corrupted(MAILBOX, self._item, contents, held)
        for n, transfer in enumerate(transfers):
            transfer.held = held
            ends = transfers[n + 1].first_request if n + 1 < len(transfers) else None
            found += referee.judge(transfer, ends)
        return found

    def _trace(self) -> list[str]:
        return [
            f"{each.at:%H:%M:%S.%f} #{each.index} {each.kind} {each.range or ''} "
            f"-> {each.status} {each.fault or ''}".rstrip()
            for each in self._harness.emulator.requests
        ]


def _without_events(schedule: Schedule) -> Schedule:
    return replace(schedule, events=(), between=())


def run_all(bench: Bench, seeds: Sequence[int], product: Product = AS_SHIPPED) -> Tally:
    """Run the schedules of these seeds; the figures."""
    tally = Tally()
    for seed in seeds:
        outcome = run(bench, draw(seed), product)
        tally.add(f"seed {seed}", len(outcome.fired), outcome.findings)
    return tally


def main() -> None:
    """Print one schedule, its run and its verdict."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.schedules")
    parser.add_argument("--seed", type=int, required=True)
    seed = parser.parse_args().seed
    with Azurite() as azurite, Bench.open(azurite.connection_string) as bench:
        print(run(bench, draw(seed)))
