"""Waiting for what other processes do."""

import time
from collections.abc import Callable

_SECONDS = 60.0


def until[T](observe: Callable[[], T | None], what: str = "", *, seconds: float = _SECONDS) -> T:
    """Wait until ``observe`` returns something; raises :class:`TimeoutError` when it never does."""
    deadline = time.monotonic() + seconds
    while (seen := observe()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not happen within {seconds:g} seconds: {what or observe}")
        time.sleep(0.02)
    return seen
