"""Seeded schedules on the unkind engine: files, events, other clients, and adversities."""

import random
from dataclasses import dataclass, field, fields
from typing import Literal, get_args

from infra.local.outlook import Rules
from tests.support.engine.adversary import Adversity
from tests.support.engine.virtual_engine import VERSION

# What happens to a file at a step, from outside.
Happening = Literal[
    "event",
    "two events",
    "two orders",
    "order of all",
    "metadata replaced",
    "metadata written",
    "overwritten",
    "cancelled",
]
R = 1_000
_SIZES = (0, 1, R, 2 * R + 1, 4 * R + 1, 5 * R, 6 * R + 1, 8 * R, 9 * R - 1)
# How many files a user removes from their items after the transfer.
_REMOVED = 0.2
_RATES: dict[Adversity, float] = {
    "start replaces a run": 0.5,
    "worker killed": 0.1,
    "stalled": 0.15,
    "delivered late": 0.25,
    "delivered after the end": 0.3,
    "checkpoint lost": 0.06,
    "timer late": 0.3,
    "app down": 0.03,
    "settings changed": 0.08,
}
_RATES_1_0: dict[Adversity, float] = {
    "signal late": 0.3,
    "signal twice": 0.3,
    "signal lost": 0.2,
    "entity call queued": 0.2,
}


@dataclass(frozen=True, kw_only=True)
class File:
    """A blob, and the number of the item that it goes to. ``late``: the item does not exist yet."""

    name: str
    size: int
    item: int
    late: bool


@dataclass(frozen=True, kw_only=True)
class UnkindSchedule:
    """What a seed draws. ``happenings`` are by step, with the number of the file."""

    seed: int
    version: str
    rules: Rules
    files: tuple[File, ...]
    happenings: tuple[tuple[int, Happening, int], ...]
    removed: frozenset[int]
    range_bytes: int
    ranges_per_activity: int
    mailbox_window_bytes: int
    rates: dict[Adversity, float] = field(hash=False)
    max_faults: int
    fault_rate: float

    def content(self, file: int, version: int) -> bytes:
        """A file's content; version 1 and up are those that it is overwritten with."""
        draw = random.Random(f"{self.seed} content {file} {version}")
        return draw.randbytes(max(self.files[file].size, 8 if version else 0))

    def happens(self, file: int, *happenings: Happening) -> bool:
        """Whether any of these happens to a file."""
        return any(n == file and what in happenings for _, what, n in self.happenings)

    def __str__(self) -> str:
        return "\n".join(f"{each.name}: {getattr(self, each.name)}" for each in fields(self))


def draw(seed: int) -> UnkindSchedule:
    """The schedule of a seed."""
    rng = random.Random(f"{seed} unkind")
    is_old = rng.random() < 0.08
    items = rng.choice((1, 1, 2))
    files = tuple(_file(rng, n, items) for n in range(rng.choice((1, 1, 2, 3))))
    happenings = [
        (rng.randint(0, 40), rng.choice(get_args(Happening)), rng.randrange(len(files)))
        for _ in range(rng.randint(0, 5))
    ]
    rates = {each: rate for each, rate in _RATES.items() if rng.random() < 0.6}
    return UnkindSchedule(
        seed=seed,
        version="1.0" if is_old else VERSION,
        rules=Rules(
            minimum_session_bytes=1,
            maximum_post_bytes=4_000,
            session_state=rng.choice(("answered", "405")),
            repeated_range=rng.choice(("416", "400", "200")),
            commit_visible_after=rng.choice((0, 0, 0, 2, 45)),
            page_size=100,
        ),
        files=files,
        happenings=tuple(sorted(happenings)),
        removed=frozenset(n for n in range(len(files)) if rng.random() < _REMOVED),
        range_bytes=rng.choice((R, 2 * R, 4 * R)),
        ranges_per_activity=rng.choice((1, 2, 3)),
        mailbox_window_bytes=4_000_000,
        rates=rates | (_RATES_1_0 if is_old else {}),
        max_faults=rng.choice((0, 0, 1, 2)),
        fault_rate=rng.uniform(0.05, 0.3),
    )


def _file(rng: random.Random, number: int, items: int) -> File:
    name = f"in/{number}.pdf"
    if rng.random() < 0.1:
        # Its custom status is near the limit.
        name = f"{rng.choice(('文', '😀', 'é'))}" * 300 + name.replace("/", "-")
    return File(
        name=name,
        # Empty files of one item would all have the same content.
        size=max(rng.choice(_SIZES), 8 if number else 0),
        item=rng.randrange(items),
        late=rng.random() < 0.1,
    )
