"""What an engine may do and this one never does by itself: work done again, late or for nothing.

Durable Functions promises that work is done at least once. On Azure an activity can be delivered
again at any later time, an orchestration's checkpoint can be lost after its messages went out, and
timers can be late. A seed draws when that happens, so that an app can be tried against it.
"""

import logging
import random
import threading
from collections import Counter
from typing import Self

_DUPLICATES, _LOST_CHECKPOINTS, _LATE_TIMERS = 0.25, 0.1, 0.25
# Seconds: beside the first delivery, shortly after it, and after the end of most transfers.
_DUPLICATE_AFTER = (0.0, 2.0, 30.0)
_LATE_SECONDS = (5.0, 20.0, 90.0)

logger = logging.getLogger(__name__)


class Adversities:
    """Draws adversities by a seed, logs each of them, and counts them in ``fired``."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.fired: Counter[str] = Counter()
        self._random = random.Random(seed)  # noqa: S311 (to be repeated, not to be secret)
        self._lock = threading.Lock()

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The adversities of an engine's name: ``kind``, ``unkind`` or ``unkind:SEED``.

        None for the kind one. Raises :class:`ValueError` for any other text.
        """
        name, colon, seed = text.partition(":")
        if text == "kind":
            return None
        if name != "unkind" or (colon and not seed.isdecimal()):
            raise ValueError(text)
        return cls(int(seed) if seed else random.SystemRandom().randrange(1_000_000))

    def duplicate_after(self, activity: str) -> float | None:
        """Seconds until an activity is delivered once more; None: it is not."""
        return self._drawn("late duplicate", activity, _DUPLICATES, _DUPLICATE_AFTER)

    def loses_checkpoint(self, orchestration: str) -> bool:
        """Whether what an execution decided is lost after its activities were scheduled."""
        return bool(self._drawn("lost checkpoint", orchestration, _LOST_CHECKPOINTS, (1.0,)))

    def timer_lateness(self, orchestration: str) -> float:
        """Seconds by which a timer fires late."""
        return self._drawn("late timer", orchestration, _LATE_TIMERS, _LATE_SECONDS) or 0.0

    def _drawn(self, what: str, whose: str, rate: float, values: tuple[float, ...]) -> float | None:
        with self._lock:
            if self._random.random() >= rate:
                return None
            self.fired[what] += 1
            value = self._random.choice(values)
        logger.warning("Unkind engine: %s of %s (%g s)", what, whose, value)
        return value
