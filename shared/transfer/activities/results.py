"""Typed errors at an activity's edge: logged, and turned into the steps they stand for."""

import logging
from collections.abc import Callable
from functools import wraps

from shared.errors import StorageUnavailable, Superseded, TransferError, UnsupportedBlob
from shared.transfer.activities.blob_reader import StartOver
from shared.transfer.activities.find_attachment import Throttled
from shared.transfer.activity_payloads import ActivityResult, TransferWork
from shared.transfer.payloads import Failure

_LOG = logging.getLogger(__name__)

_UNSTEADY = Failure.of(
    UnsupportedBlob(
        "The blob was written to again and again while it was read, and no MD5 proves that its "
        "content stayed. Upload it again, with an MD5, and leave it alone until it is attached."
    )
)


def activity_boundary[Owner, Work: TransferWork](
    activity: Callable[[Owner, Work], ActivityResult],
) -> Callable[[Owner, Work], ActivityResult]:
    """Turn the typed errors of an activity into the steps they stand for."""

    @wraps(activity)
    def result(self: Owner, work: Work) -> ActivityResult:
        result = _typed(activity, self, work)
        if result.failure:
            _LOG.info(
                "transfer %s: %s: %s: %s",
                work.transfer_id,
                activity.__name__,
                result.outcome,
                result.failure.message,
            )
        return result

    return result


def _typed[Owner, Work: TransferWork](
    activity: Callable[[Owner, Work], ActivityResult], owner: Owner, work: Work
) -> ActivityResult:
    try:
        return activity(owner, work)
    except Throttled as throttled:
        return ActivityResult(outcome="retry", retry_after=throttled.retry_after)
    except (StartOver, TransferError) as error:
        return end_of(error)


def end_of(error: StartOver | TransferError) -> ActivityResult:
    """The step that a typed error stands for."""
    match error:
        case StartOver():
            return ActivityResult(outcome="start_over", etag=error.etag, failure=_UNSTEADY)
        case Superseded():
            return ActivityResult(outcome="superseded", failure=Failure.of(error))
        case StorageUnavailable():
            return ActivityResult(outcome="retry", failure=Failure.of(error))
        case _:
            return ActivityResult(outcome="failed", failure=Failure.of(error))
