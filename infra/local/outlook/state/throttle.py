"""Limits per mailbox: concurrent requests, and bytes received within a window of time.

See `docs/protocol.md`, "Limits of the service". Refused requests count as much as accepted ones, so
a client that retries too early has to wait longer.
"""

import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Limits:
    """The limits of one mailbox; the window in seconds."""

    requests_at_once: int
    window_bytes: int
    window_seconds: float


class Throttle:
    """Counts the requests and bytes of each mailbox, and decides what exceeds its limits."""

    def __init__(self, limits: Limits, clock: Callable[[], datetime]) -> None:
        self.limits = limits
        self._clock = clock
        self._in_progress: Counter[str] = Counter()
        self._received: defaultdict[str, deque[tuple[datetime, int]]] = defaultdict(deque)

    def begin(self, mailbox: str) -> int:
        """Count a request as in progress; their number, this one included."""
        self._in_progress[mailbox] += 1
        return self._in_progress[mailbox]

    def end(self, mailbox: str) -> None:
        """Count a request as ended."""
        self._in_progress[mailbox] -= 1

    def over_concurrency(self, in_progress: int) -> bool:
        """Whether a request exceeds the limit, with so many in progress when it arrived."""
        return in_progress > self.limits.requests_at_once

    def charge(self, mailbox: str, size: int) -> int | None:
        """Count `size` received bytes.

        None when they are within the window's limit; otherwise the whole seconds after which they
        would be, if nothing else is sent meanwhile.
        """
        now = self._clock()
        window = timedelta(seconds=self.limits.window_seconds)
        received = self._received[mailbox]
        while received and received[0][0] + window <= now:
            received.popleft()
        before = sum(count for _, count in received)
        if size:
            received.append((now, size))
        if size == 0 or before + size <= self.limits.window_bytes:
            return None
        return self._seconds_until_accepted(received, size, now)

    def _seconds_until_accepted(
        self, received: deque[tuple[datetime, int]], size: int, now: datetime
    ) -> int:
        window = timedelta(seconds=self.limits.window_seconds)
        remaining = sum(count for _, count in received)
        for at, count in received:
            remaining -= count
            if remaining + size <= self.limits.window_bytes:
                return max(1, math.ceil((at + window - now).total_seconds()))
        # More than the limit of a whole window: no wait is long enough, and the service hides that.
        return math.ceil(self.limits.window_seconds)
