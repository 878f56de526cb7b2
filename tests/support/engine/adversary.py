"""What an engine does to an app that is allowed by its contract, drawn by a seed.

``docs`` of Durable promise that work is done at least once, and little more. Each adversity is
counted as fired only when it had its effect.
"""

import random
from collections import Counter
from collections.abc import Mapping
from typing import Literal, get_args

Adversity = Literal[
    # Of queries, starts, purges and events.
    "query of pages",
    "start replaces a run",
    "purge of a run",
    "event refused",
    "event without receiver",
    "long status",
    # Of activities.
    "worker killed",
    "stalled",
    "delivered beside",
    "delivered late",
    "delivered after the end",
    "delivered after a removal",
    "delivered with other settings",
    "delivered as an orphan",
    # Of orchestrations and timers.
    "checkpoint lost",
    "timer late",
    "app down",
    "settings changed",
    "metadata replaced",
    "two orders at once",
    "event repeated",
    "fault of Outlook",
    # Of entities, which only transfers of version 1.0 use.
    "signal late",
    "signal twice",
    "signal lost",
    "entity call queued",
]
ADVERSITIES: tuple[Adversity, ...] = get_args(Adversity)

# Adversities by which a transfer loses an attempt: a transfer survives so many of them.
DISRUPTIVE: frozenset[Adversity] = frozenset(
    {"worker killed", "stalled", "checkpoint lost", "start replaces a run", "purge of a run"}
)


class Adversary:
    """Draws adversities, each with its probability at every occasion; 0 without one.

    ``fired`` counts those that had an effect. ``budget`` bounds the disruptive ones.
    """

    def __init__(self, seed: object, rates: Mapping[Adversity, float], budget: int = 4) -> None:
        self.random = random.Random(f"{seed} engine")
        self.fired: Counter[Adversity] = Counter()
        self._rates = dict(rates)
        self._left = budget

    def strikes(self, adversity: Adversity) -> bool:
        """Whether it happens at this occasion; the caller confirms it when it had an effect."""
        rate = self._rates.get(adversity, 0.0)
        if not rate or self.random.random() >= rate:
            return False
        if adversity in DISRUPTIVE:
            if self._left <= 0:
                return False
            self._left -= 1
        return True

    def confirm(self, adversity: Adversity) -> None:
        """Count it as fired."""
        self.fired[adversity] += 1
