"""The fencing token of a run: when it began, as text that sorts by time."""

from datetime import UTC, datetime, timedelta


def run_at(time: datetime) -> str:
    """The fencing token of a run that began then, in UTC: text that sorts by time."""
    return time.replace(tzinfo=UTC).isoformat(timespec="microseconds")


def run_after(run: str) -> str:
    """The next run that counts as later than this one."""
    return run_at(datetime.fromisoformat(run) + timedelta(microseconds=1))


def run_before(run: str) -> str:
    """The last run that counts as earlier than this one: the fence of the runs before it."""
    return run_at(datetime.fromisoformat(run) - timedelta(microseconds=1))
