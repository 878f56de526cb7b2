"""Typed errors at an activity's edge: logged, and turned into the steps they stand for."""

import logging
from collections.abc import Callable
from functools import wraps

from shared.errors import StorageUnavailable, Superseded, TransferError, UnsupportedBlob
from shared.transfer.payloads import Failure
from shared.transfer.range_uploader import StartOver
from shared.transfer.reconciling import ThrottledLook
from shared.transfer.work import Step, TransferWork

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
    except StartOver as changed:
        return Step(outcome="start_over", etag=changed.etag, failure=_UNSTEADY)
    except Superseded as error:
        return Step(outcome="superseded", failure=Failure.of(error))
    except StorageUnavailable as error:
        return Step(outcome="retry", failure=Failure.of(error))
    except ThrottledLook as throttled:
        return Step(outcome="retry", wait_seconds=throttled.retry_after)
    except TransferError as error:
        return Step(outcome="failed", failure=Failure.of(error))
