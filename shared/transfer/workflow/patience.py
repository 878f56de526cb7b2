"""How often something is worth repeating on the way to an attachment; progress makes it all new."""

from collections import Counter

from shared.transfer.activity_payloads import ActivityResult
from shared.transfer.retry_policy import MAX_ATTEMPTS
from shared.transfer.workflow.stages import Pause


class Patience:
    """Counts of one transfer. Progress is a byte that Outlook never had before."""

    def __init__(self) -> None:
        # Waits of this stage, for the backoff; refusals of this stage by code, for those that are
        # bounded; attempts to attach, and the most bytes that Outlook ever had, for progress.
        self._tries = 0
        self._refusals: Counter[str] = Counter()
        self._attempts = 1
        self._most_sent = 0

    def note(self, offset: int) -> None:
        """Outlook has the bytes before this offset."""
        if offset > self._most_sent:
            self._most_sent = offset
            self._attempts = 1
            self.renew()

    def renew(self) -> None:
        """Another stage, or progress: no wait and no refusal counts any more."""
        self._tries = 0
        self._refusals.clear()

    def reset_backoff(self) -> None:
        """The session got further, if not the transfer."""
        self._tries = 0

    def allows(self, result: ActivityResult) -> bool:
        """Whether the step is worth another try: each bounded refusal has its own count."""
        if result.tries is None:
            return True
        code = result.failure.code if result.failure else ""
        self._refusals[code] += 1
        return self._refusals[code] < result.tries

    def pause(self, retry_after: float = 0.0, at_most: float = float("inf")) -> Pause:
        """The next wait of this stage, in seconds: longer each time."""
        self._tries += 1
        return Pause(self._tries - 1, retry_after, at_most)

    def new_attempt(self, retry_after: float) -> Pause | None:
        """The wait before another attempt to attach; None when there were enough of them.

        Slower than a repetition: the session service itself may be in trouble.
        """
        if self._attempts >= MAX_ATTEMPTS:
            return None
        self._attempts += 1
        return Pause(self._attempts + 1, retry_after)
