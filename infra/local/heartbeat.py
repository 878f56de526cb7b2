"""Says now and then that something is still being done, so that nobody takes it for stuck."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SECONDS = 4.0


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


@contextmanager
def heartbeat(
    doing: str, *, every: float = _SECONDS, say: Callable[[str], None] = say
) -> Iterator[None]:
    """Say what is being done every few seconds, for as long as it is."""
    began, done = time.monotonic(), threading.Event()

    def beat() -> None:
        while not done.wait(every):
            say(f"{doing} ({time.monotonic() - began:.0f} s)")

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
