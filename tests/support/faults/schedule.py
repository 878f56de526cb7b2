"""Seeded schedules: a seed draws the service's rules, the file, the faults and other events."""

import random
from dataclasses import dataclass, fields
from typing import Literal, get_args

from infra.local.outlook import ItemKind, Rules
from tests.support.faults.fault_sets import PERMANENT, SURVIVED

Event = Literal[
    "metadata written",
    "properties written",
    "overwritten",
    "deleted",
    "cancelled",
    "another client attached",
]

SMALL_RANGE, LARGE_RANGE = 1_000, 1_000_000
_BOUNDARIES = (3_000_000, 3_145_728)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What a seed draws. A step is an activity or a timer of the orchestration."""

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
    max_faults: int
    permanent: str | None
    events: tuple[tuple[int, Event], ...]
    delivered_twice: frozenset[int]
    between: tuple[tuple[int, Event], ...]

    @property
    def must_attach(self) -> bool:
        """Whether nothing in it excuses another outcome than *attached*."""
        ending: set[Event] = {"overwritten", "deleted", "cancelled", "properties written"}
        return (
            self.max_faults <= SURVIVED
            and self.permanent is None
            and self.rules.mailbox_limit_bytes is None
            and self.deadline_minutes >= 60
            and ending.isdisjoint(self.all_events)
        )

    @property
    def all_events(self) -> set[Event]:
        """The kinds of events that happen at any time."""
        return {event for _, event in (*self.events, *self.between)}

    def content(self, version: int) -> bytes:
        """The blob's content; version 1 and up are those that it is overwritten with."""
        # Without an MD5 and a new creation time, only the size distinguishes new content from old.
        grows = self.seed % 2 or not self.size
        grows = grows or not (self.has_md5 or self.overwrite_moves_creation)
        size = self.size + version if grows else self.size
        content = random.Random(f"{self.seed} content {version}").randbytes(size)
        if version and self.size:
            # Different even if it is a single byte.
            content = bytes([(self.content(0)[0] + version) % 256]) + content[1:]
        return content

    def __str__(self) -> str:
        lines = [f"{each.name}: {getattr(self, each.name)}" for each in fields(self)]
        return "\n".join(lines)


def draw(seed: int) -> Schedule:
    """The schedule of a seed."""
    rng = random.Random(seed)
    rules, size, range_bytes = _service(rng)
    many_faults = rng.random() < 0.1
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
        max_faults=40 if many_faults else rng.randint(0, SURVIVED),
        permanent=permanent,
        events=events,
        delivered_twice=twice,
        between=_between(random.Random(f"{seed} between"), twice),
    )


def _service(rng: random.Random) -> tuple[Rules, int, int]:
    """Rules of the service, a file size and a range size."""
    large = rng.random() < 0.12
    if large:
        range_bytes, minimum = LARGE_RANGE, rng.choice(_BOUNDARIES)
        size = rng.choice(_BOUNDARIES) + rng.choice((-1, 0, 1))
        # Enough for the largest file that is refused a session.
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
        location_ids=rng.choice(("as requested", "mutable")),
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
        "another client attached",
    )
    drawn = [(rng.randint(0, 9), rng.choice(events)) for _ in range(rng.choice((1, 1, 2)))]
    return tuple(sorted(drawn))


def _twice(rng: random.Random) -> frozenset[int]:
    if rng.random() < 0.5:
        return frozenset()
    return frozenset(step for step in range(30) if rng.random() < 0.2)


def _between(rng: random.Random, twice: frozenset[int]) -> tuple[tuple[int, Event], ...]:
    """What happens between two deliveries of a step, in half of the schedules that have any."""
    early = sorted(step for step in twice if step < 12)
    if not early or rng.random() < 0.5:
        return ()
    events: tuple[Event, ...] = get_args(Event)
    return tuple((step, rng.choice(events)) for step in rng.sample(early, 1))
