"""The clock of the virtual engine."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(2026, 11, 22, 10, tzinfo=UTC)


class VirtualClock:
    """A clock that moves only when a test or a timer of the engine moves it."""

    def __init__(self) -> None:
        self.now = EPOCH

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        """Move it on."""
        self.now += timedelta(seconds=seconds)
