"""What went wrong in one transfer so far, and what its end says about it."""

from shared.transfer.activity_payloads import ActivityResult, Job
from shared.transfer.messages import both_failed
from shared.transfer.payloads import Failure


class Failures:
    """``last`` is the failure that a transfer would end with now.

    If POSTs of a small file failed at every try, a session is tried at last: the end names both.
    """

    def __init__(self) -> None:
        self._last: Failure | None = None
        self._of_posts: Failure | None = None

    @property
    def last(self) -> Failure | None:
        """The last failure, and that of the POSTs before it."""
        return both_failed(self._of_posts, self._last)

    def allow_session_at_last(self, job: Job) -> bool:
        """Whether a small file that no POST attached can still be tried by a session."""
        return job.is_small and job.session_at_last and self._of_posts is None

    def note(self, failure: Failure | None) -> None:
        """Note the failure of a result, if it has one."""
        self._last = failure or self._last

    def end_posts(self) -> None:
        """From now on, a session is tried."""
        self._of_posts = self._last

    def end_as(self, end: ActivityResult) -> None:
        """This result is the end; what came after it does not count."""
        self._last = end.failure
