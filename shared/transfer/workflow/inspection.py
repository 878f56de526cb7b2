"""The inspection of a blob, repeated while storage is unavailable or the blob may yet be filled."""

from typing import Any

from durabletask.task import Task

from shared.transfer.activity_payloads import Inspect, Inspection
from shared.transfer.payloads import RECORDS, TransferStatus
from shared.transfer.workflow.activity_calls import ActivityCalls
from shared.transfer.workflow.locks import Orchestration


def inspect(
    activities: ActivityCalls, work: Inspect, status: TransferStatus, cancelled: Task[Any]
) -> Orchestration[Inspection]:
    """The job to do, or the end of the transfer: also when storage stays unavailable.

    ``status`` is the present one. A cancellation ends the wait.
    """
    found = yield from _until_available(activities, work, cancelled)
    if found.patience is not None and not cancelled.is_complete:
        # Still empty after the wait.
        work = work.model_copy(update={"waited": True})
        found = yield from _until_available(activities, work, cancelled)
    if not found.unavailable:
        return found
    update: dict[str, object] = {"state": "failed", "error": found.unavailable}
    if cancelled.is_complete:
        update = {"state": "cancelled"}
    ended = status.model_copy(update=update)
    return Inspection(ended=ended, record=RECORDS[ended.state])


def _until_available(
    activities: ActivityCalls, work: Inspect, cancelled: Task[Any]
) -> Orchestration[Inspection]:
    return activities.until_available(
        "inspect_blob",
        work,
        Inspection,
        unavailable=lambda each: each.unavailable is not None,
        cancelled=cancelled,
        patience=lambda each: each.patience,
    )
