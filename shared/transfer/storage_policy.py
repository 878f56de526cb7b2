"""Where retrying is decided for Azure Storage: the first row of ``STORAGE_TABLE`` that matches.

The bounds are those of ``retry_policy``. ``RECORD_WRITES`` is the data for shared/storage, which
may not import this module.
"""

from shared.errors import StorageUnavailable
from shared.storage.storage_errors import WriteRules
from shared.transfer.retry_policy import MAX_RECORD_WRITES
from shared.transfer.retry_table import Action, StorageCall, StorageFailure, StorageRow


def _s(*statuses: int) -> frozenset[int]:
    return frozenset(statuses)


def _c(*codes: str) -> frozenset[str]:
    return frozenset(codes)


# A table reads by its columns, so its rows may be long.
# ruff: noqa: E501
# fmt: off
_METADATA = frozenset({StorageCall.METADATA_WRITE, StorageCall.LEASED_METADATA_WRITE})
_LEASED_METADATA = frozenset({StorageCall.LEASED_METADATA_WRITE})
_CALLER = frozenset({StorageCall.CALLER})
_UNCHANGEABLE = _c("blobimmutableduetopolicy", "blobimmutableduetolegalhold", "blobarchived")
_LEASED = _c("leaseidmissing", "leaselost", "leaseidmismatchwithbloboperation")

STORAGE_TABLE: tuple[StorageRow, ...] = (
    StorageRow(_LEASED_METADATA, Action.GIVE_UP, "nobody knows when the lease ends", codes=_LEASED),
    StorageRow(_METADATA, Action.RETRY, "leased by another client; a lease ends", codes=_LEASED),
    StorageRow(_METADATA, Action.RESYNCHRONISE, "changed since it was read: read, merge and write again", statuses=_s(412)),
    StorageRow(_METADATA, Action.GIVE_UP, "no blob to write to", statuses=_s(404)),
    StorageRow(_METADATA, Action.GIVE_UP, "immutable, under a legal hold, or archived", codes=_UNCHANGEABLE),
    StorageRow(_METADATA, Action.GIVE_UP, "not valid as metadata, now or later", statuses=_s(400)),
    StorageRow(_CALLER, Action.GIVE_UP, "a malformed name stays malformed", statuses=_s(400)),
    StorageRow(frozenset(StorageCall), Action.RETRY, "unavailable, or a role or network rule is missing"),
)
# fmt: on


def decide_storage(call: StorageCall, error: StorageFailure) -> StorageRow:
    """The first row that matches; the last one matches every failure."""
    return next(row for row in STORAGE_TABLE if row.matches(call, error))


def is_retryable(error: StorageUnavailable) -> bool:
    """Whether the caller, or the sender of the event, should try again."""
    return decide_storage(StorageCall.CALLER, error).action is Action.RETRY


def _is_outdated(error: StorageFailure) -> bool:
    row = decide_storage(StorageCall.METADATA_WRITE, error)
    return row.action is Action.RESYNCHRONISE


def _is_refused(error: StorageFailure, has_endless_lease: bool) -> bool:
    leased, other = StorageCall.LEASED_METADATA_WRITE, StorageCall.METADATA_WRITE
    return decide_storage(leased if has_endless_lease else other, error).action is Action.GIVE_UP


RECORD_WRITES = WriteRules(
    attempts=MAX_RECORD_WRITES,
    is_outdated=_is_outdated,
    is_refused=_is_refused,
)
