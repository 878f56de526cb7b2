"""Transfers as the listing keeps them, from their payloads."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from shared.errors import StorageUnavailable
from shared.storage.listed import RUNNING, Listed
from shared.transfer.payloads import TransferRequest, TransferStatus

_LOG = logging.getLogger(__name__)


def at_start(transfer_id: str, request: TransferRequest, now: datetime) -> Listed:
    """A transfer that was started just now."""
    return _listed(transfer_id, RUNNING, request.status, now)


def at_end(transfer_id: str, status: TransferStatus, now: datetime) -> Listed:
    """A transfer that has ended, with its last status.

    One of version 1.0, which does not say when it was started, is listed by its end.
    """
    return _listed(transfer_id, status.state, status, now, completedAt=_as_json(now))


def as_removed(row: Listed, now: datetime) -> Listed:
    """A transfer whose attachment was removed from its item."""
    update = {"state": "removed", "updatedAt": _as_json(now)}
    return replace(row, state="removed", summary={**row.summary, **update})


def list_if_possible(write: Callable[[Listed], None], row: Listed) -> None:
    """Write to the listing. A failure is logged, and stops nothing: the next write corrects it."""
    try:
        write(row)
    except StorageUnavailable as error:
        extra = {"transfer_id": row.id}
        _LOG.warning("transfer %s: the listing is not current: %s", row.id, error, extra=extra)


def _listed(
    transfer_id: str, state: str, status: TransferStatus, now: datetime, **times: str
) -> Listed:
    started = status.created_at or now
    times |= {"createdAt": _as_json(started), "updatedAt": _as_json(now)}
    return Listed(
        transfer_id,
        started,
        state,
        blob=status.blob,
        mailbox=status.mailbox,
        summary={**status.to_json(), "id": transfer_id, **times},
    )


def _as_json(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
