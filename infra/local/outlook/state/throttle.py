"""Limits per mailbox: requests at once, and bytes received in a window (`protocol.md` §6).

The clock is injected. Refused requests count as much as accepted ones, so an impatient client
pushes its own turn away.
"""

import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Figures:
    """The limits of one mailbox; the window in seconds."""

    requests_at_once: int
    window_bytes: int
    window_seconds: float


class Throttle:
    """Counts what every mailbox is being sent and says when that is too much."""

    def __init__(self, figures: Figures, clock: Callable[[], datetime]) -> None:
        self.figures = figures
        self._clock = clock
        self._in_progress: Counter[str] = Counter()
        self._received: defaultdict[str, deque[tuple[datetime, int]]] = defaultdict(deque)

    def enter(self, mailbox: str) -> int:
        """Count a request in; the number now in progress, itself included."""
        self._in_progress[mailbox] += 1
        return self._in_progress[mailbox]

    def leave(self, mailbox: str) -> None:
        """Count a request out."""
        self._in_progress[mailbox] -= 1

    def over_concurrency(self, in_progress: int) -> bool:
        """Whether a request that found `in_progress` on entering is one too many."""
        return in_progress > self.figures.requests_at_once

    def charge(self, mailbox: str, size: int) -> int | None:
        """Count `size` bytes in.

        None when the window bears them; else the whole seconds after which it would, if nothing
        else were sent meanwhile.
        """
        now = self._clock()
        window = timedelta(seconds=self.figures.window_seconds)
        received = self._received[mailbox]
        while received and received[0][0] + window <= now:
            received.popleft()
        before = sum(count for _, count in received)
        if size:
            received.append((now, size))
        if size == 0 or before + size <= self.figures.window_bytes:
            return None
        return self._seconds_until_room(received, size, now)

    def _seconds_until_room(
        self, received: deque[tuple[datetime, int]], size: int, now: datetime
    ) -> int:
        window = timedelta(seconds=self.figures.window_seconds)
        left = sum(count for _, count in received)
        for at, count in received:
            left -= count
            if left + size <= self.figures.window_bytes:
                return max(1, math.ceil((at + window - now).total_seconds()))
        # More than a whole window holds: no wait helps, and the service does not say so.
        return math.ceil(self.figures.window_seconds)
