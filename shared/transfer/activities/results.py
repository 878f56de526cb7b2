"""The results of activities: from responses, and from the typed errors that an activity raises."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Protocol

from shared.errors import StorageUnavailable, Superseded, TransferError
from shared.outlook.graph_response import GraphResponse
from shared.transfer.activities.blob_reader import ContentUncertain, RestartRequired
from shared.transfer.activities.claims import AlreadyAttached, StaleDelivery
from shared.transfer.activities.find_attachment import Throttled
from shared.transfer.activity_payloads import ActivityResult, Job, Outcome
from shared.transfer.messages import failure_of_response
from shared.transfer.payloads import Failure
from shared.transfer.retry_policy import (
    ATTACHING,
    decide,
    effective_retry_after,
    is_final_after_a_look,
)
from shared.transfer.retry_table import Action, Call

_LOG = logging.getLogger(__name__)

_OUTCOMES: dict[Action, Outcome] = {
    Action.RETRY: "retry",
    Action.RECONCILE: "reconcile",
    Action.SESSION_INSTEAD: "session_instead",
    Action.POST_INSTEAD: "post_instead",
}
_CHANGES_ALL_THE_TIME = Failure.of(
    ContentUncertain(
        "The blob was written to again and again while it was read, and no MD5 proves that its "
        "content stayed the same. Upload it again, with an MD5, and do not change it until it is "
        "attached."
    )
)


def result_of_refusal(call: Call, response: GraphResponse, job: Job) -> ActivityResult | None:
    """The result for a response that is no success, None for a success."""
    row = decide(call, response)
    if row.action is Action.PROCEED:
        return None
    result = ActivityResult(
        outcome=_OUTCOMES.get(row.action, "failed"),
        retry_after=effective_retry_after(row, response),
        tries=row.tries,
        failure=failure_of_response(row, response, job),
        may_be_attached=call in ATTACHING and not row.no_response,
    )
    return look_first(result) if is_final_after_a_look(call, row) else result


def look_first(end: ActivityResult) -> ActivityResult:
    """The result that ends the transfer so, unless one look shows that the file is attached."""
    return ActivityResult(
        outcome="reconcile",
        retry_after=end.retry_after,
        failure=end.failure,
        otherwise=end,
        look_once=True,
    )


def result_of_error(error: RestartRequired | Throttled | TransferError) -> ActivityResult:
    """The result for a typed error."""
    match error:
        case Throttled():
            return ActivityResult(outcome="retry", retry_after=error.retry_after)
        case RestartRequired():
            return ActivityResult(
                outcome="start_over", etag=error.etag, failure=_CHANGES_ALL_THE_TIME
            )
        case Superseded() | StaleDelivery():
            return ActivityResult(outcome="superseded", failure=Failure.of(error))
        case StorageUnavailable():
            failure = Failure.of(error)
            return ActivityResult(outcome="retry", failure=failure, storage_failed=True)
        case _:
            return ActivityResult(outcome="failed", failure=Failure.of(error))


class TransferWork(Protocol):
    """The input of any activity."""

    @property
    def transfer_id(self) -> str:
        """The transfer's id."""


def activity_boundary[Owner, Work: TransferWork](
    activity: Callable[[Owner, Work], ActivityResult],
) -> Callable[[Owner, Work], ActivityResult]:
    """Log an activity's failure, and return the result for a typed error that it raises.

    Any other exception is a bug of this app.
    """

    @wraps(activity)
    def bounded(self: Owner, work: Work) -> ActivityResult:
        result = _result(activity, self, work)
        if result.failure:
            _LOG.info(
                "transfer %s: %s: %s: %s",
                work.transfer_id,
                activity.__name__,
                result.outcome,
                result.failure.message,
            )
        return result

    return bounded


def _result[Owner, Work: TransferWork](
    activity: Callable[[Owner, Work], ActivityResult], owner: Owner, work: Work
) -> ActivityResult:
    try:
        return activity(owner, work)
    except AlreadyAttached as error:
        return ActivityResult(outcome="attached", attachment_id=error.attachment_id)
    except (RestartRequired, Throttled, TransferError) as error:
        return result_of_error(error)
