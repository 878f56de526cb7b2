"""Typed errors at an activity's edge: logged, and turned into the steps they stand for."""

import logging
from collections.abc import Callable
from functools import wraps

from shared.errors import StorageUnavailable, Superseded, TransferError, UnsupportedBlob
from shared.transfer.activities.blob_reader import StartOver
from shared.transfer.activities.find_attachment import ThrottledLook
from shared.transfer.activity_payloads import Step, TransferWork
from shared.transfer.payloads import Failure

_LOG = logging.getLogger(__name__)

_UNSTEADY = Failure.of(
    UnsupportedBlob(
        "The blob was written to again and again while it was read, and no MD5 proves that its "
        "content stayed. Upload it again, with an MD5, and leave it alone until it is attached."
    )
)


def typed_ends[Owner, Work: TransferWork](
    activity: Callable[[Owner, Work], Step],
) -> Callable[[Owner, Work], Step]:
    """Turn the typed errors of an activity into the steps they stand for."""

    @wraps(activity)
    def step(self: Owner, work: Work) -> Step:
        step = _typed(activity, self, work)
        if step.failure:
            _LOG.info(
                "transfer %s: %s: %s: %s",
                work.transfer_id,
                activity.__name__,
                step.outcome,
                step.failure.message,
            )
        return step

    return step


def _typed[Owner, Work: TransferWork](
    activity: Callable[[Owner, Work], Step], owner: Owner, work: Work
) -> Step:
    try:
        return activity(owner, work)
    except ThrottledLook as throttled:
        return Step(outcome="retry", wait_seconds=throttled.retry_after)
    except (StartOver, TransferError) as error:
        return end_of(error)


def end_of(error: StartOver | TransferError) -> Step:
    """The step that a typed error stands for."""
    match error:
        case StartOver():
            return Step(outcome="start_over", etag=error.etag, failure=_UNSTEADY)
        case Superseded():
            return Step(outcome="superseded", failure=Failure.of(error))
        case StorageUnavailable():
            return Step(outcome="retry", failure=Failure.of(error))
        case _:
            return Step(outcome="failed", failure=Failure.of(error))
