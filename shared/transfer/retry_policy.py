"""Where retrying is decided: what each response of Graph, Outlook and Azure Storage leads to.

``TABLE`` is for Graph and Outlook, ``STORAGE_TABLE`` for Azure Storage; the first row that matches
decides. Every bound of a repetition is defined here, too. Without a ``Retry-After``, the orchestrator
waits 1, 2, 4 … 60 seconds with jitter between two tries, and longer before a new upload session.
Modules that may not import this one are given its data: ``RESPONSE_RULES``, ``RECORD_WRITES``.

Retries of the libraries:

- Graph and Outlook (``outlook/graph_http``): none, so that every try is counted here. A request
  whose token is refused is sent once more with a new token.
- Tokens (azure-identity): its own; without a token, the request counts as not sent.
- Azure Storage (``storage/accounts``): the SDK retries a request twice within a few seconds, which
  bridges a dropped connection within an activity; an outage is bridged by durable timers. Writes
  that are conditional on an ETag are not retried by the SDK: after a lost response, the second try
  would fail on the ETag that the first one made.
- Event Grid (``activities/announce_end``): the SDK sends an event up to three more times. It is
  best effort: there is no durable retry, and receivers know a duplicate by its id.
"""

from datetime import timedelta

from shared.errors import (
    AttachmentNotFound,
    ItemNotFound,
    MailboxLimitExceeded,
    OutcomeUnknown,
    PermissionMissing,
    StorageUnavailable,
    UploadSessionsUnavailable,
)
from shared.outlook.graph_response import GraphResponse, NoResponse, ResponseRules
from shared.storage.storage_errors import WriteRules
from shared.transfer.retry_table import (
    Action,
    Call,
    Row,
    StorageCall,
    StorageFailure,
    StorageRow,
)

AFTER_TRANSFER = frozenset({Call.DESCRIBE, Call.CONTENT, Call.REMOVE})
GRAPH = frozenset({Call.LIST, Call.CREATE, Call.SMALL_POST, Call.FIND_ITEM}) | AFTER_TRANSFER
PUT = frozenset({Call.RANGE, Call.LAST_RANGE})
ATTACHING = frozenset({Call.LAST_RANGE, Call.SMALL_POST})
ALL = frozenset(Call)

# Bounds. Progress is a byte that Outlook did not have before.
# Attempts to attach one file without progress, each with an upload session of its own.
MAX_ATTEMPTS = 5
# Seconds: the longest wait between the first tries without a Retry-After; later it grows.
MAX_BACKOFF_SECONDS = 60.0
LONG_BACKOFF_TRIES = 20
LONG_BACKOFF_GROWTH = 1.1
MAX_LONG_BACKOFF_SECONDS = 1_800.0
# Seconds: the Retry-After that a caller of the API gets where Graph gives none.
DEFAULT_RETRY_AFTER = 5.0
# Requests for the state of an upload session, and refusals of one range.
MAX_STATE_QUERIES = 3
MAX_RANGE_REFUSALS = 5
# Tries to delete an upload session, before the next one and at the end; otherwise it expires.
MAX_SESSION_CANCELS = 4
MAX_CLEANUP_TRIES = 4
CLEANUP_PATIENCE = timedelta(minutes=10)
# Searches for an attachment whose bytes could not be read, and the wait before the last search.
MAX_UNREAD_SEARCHES = 4
LAST_SEARCH_PATIENCE = timedelta(seconds=30)
# ETag changes by others while one range is read, and while one record is written.
MAX_ETAG_CHANGES = 5
MAX_RECORD_WRITES = 5
# How long inspection and record wait for storage that is unavailable, or for a lease on the blob.
STORAGE_PATIENCE = timedelta(hours=4)
# An activity that takes longer, and a timer that is this late, show that the app did not run.
LONGEST_ACTIVITY = timedelta(minutes=5)
LATENESS_ALLOWANCE = timedelta(minutes=1)
EVENT_TIMER = timedelta(hours=1)
# How long a transfer waits for the end of its predecessor.
PREDECESSOR_PATIENCE = timedelta(hours=24)
# A lock that is not released within this time belongs to a dead transfer: no activity takes so
# long. So does a request for a lock that is not repeated in time.
LOCK_LEASE = timedelta(minutes=30)
WAITER_PATIENCE = timedelta(minutes=5)
# Seconds between two requests for a lock, in case its release event is lost.
FIRST_LOCK_POLL_SECONDS, LOCK_POLL_SECONDS = 5.0, 60.0
# Seconds from the claim of a send in the ledger: a delivery that has stalled for longer does not
# send. RECONCILE_SECONDS and the time-out of a request make whoever finds the claim wait longer.
MAX_CLAIM_SECONDS = 30.0
# Retries of one event by the Event Grid SDK.
MAX_ANNOUNCE_RETRIES = 3


def backoff_seconds(tries: int) -> float:
    """The wait after so many tries. A day has fewer than 100 of them, so histories stay short."""
    longer = LONG_BACKOFF_GROWTH ** max(0, min(tries - LONG_BACKOFF_TRIES, 100))
    seconds = min(MAX_BACKOFF_SECONDS, 2.0 ** min(tries, 6)) * longer
    return float(min(seconds, MAX_LONG_BACKOFF_SECONDS))


def _names_retry_after(response: GraphResponse) -> bool:
    return response.retry_after is not None


def _has_to_wait(response: GraphResponse) -> bool:
    return bool(response.retry_after)


def _names_attachment(response: GraphResponse) -> bool:
    return response.attachment_id is not None


def _s(*statuses: int) -> frozenset[int]:
    return frozenset(statuses)


def _c(*codes: str) -> frozenset[str]:
    return frozenset(codes)


_CREATE, _SMALL_POST = frozenset({Call.CREATE}), frozenset({Call.SMALL_POST})
_RANGE, _LAST_RANGE = frozenset({Call.RANGE}), frozenset({Call.LAST_RANGE})
_COMPARE, _CANCEL = frozenset({Call.COMPARE}), frozenset({Call.CANCEL})
_FIND_ITEM, _REACH = frozenset({Call.FIND_ITEM}), frozenset({Call.REACH})
_NEVER, _NO_TOKEN = frozenset({NoResponse.NEVER_SENT}), frozenset({NoResponse.NO_IDENTITY})
_UNKNOWN = frozenset({NoResponse.UNKNOWN})
_SUCCESS = frozenset(range(200, 300))
_THROTTLED = _s(429, 503, 509)
_FAILED_MIDWAY = _s(500, 502, 504)
_SESSION_GONE = _s(401, 404, 410)
_NOT_THE_RANGE = _s(400, 416)
_BUSY = frozenset({429, *range(500, 600)})
_LIMITS = _c("errormessagesizeexceeded", "errorattachmentsizelimitexceeded", "errorquotaexceeded")
_TOO_SMALL = _c("errorattachmentsizeshouldnotbelessthanminimumsize")
_FILES_ONLY = _c("errorattachmentsessionissupportedonlyforfileattachments")
_NO_MAILBOX = _c("errorinvaliduser", "mailboxnotenabledforrestapi", "mailboxnothosted")

# A table reads by its columns, so its rows may be long.
# ruff: noqa: E501
# fmt: off
TABLE: tuple[Row, ...] = (
    # Success.
    Row(PUT, Action.ATTACHED, "201 with the attachment's id in Location is the only proof", statuses=_s(201), when=_names_attachment),
    Row(PUT, Action.RECONCILE, "complete, but the response names no attachment", statuses=_s(201)),
    Row(ALL, Action.PROCEED, "success", statuses=_SUCCESS),
    # Calls with few distinctions of their own.
    Row(_CANCEL, Action.PROCEED, "the session is gone already", statuses=_SESSION_GONE),
    Row(_COMPARE, Action.RETRY, "not before the Retry-After", when=_names_retry_after),
    Row(_COMPARE, Action.GIVE_UP, "removed since it was listed", statuses=_s(404, 410), error=OutcomeUnknown),
    Row(_COMPARE, Action.SKIP, "the bytes of a large attachment cannot always be read"),
    Row(_COMPARE, Action.SKIP, "the same", no_response=frozenset(NoResponse)),
    Row(_REACH, Action.GIVE_UP, "a fresh token was refused too", statuses=_s(401), error=PermissionMissing),
    Row(_REACH, Action.RETRY, "throttled or unavailable", statuses=_BUSY),
    Row(_REACH, Action.PROCEED, "any other response shows that Graph can be reached"),
    # No usable response: what may have happened decides.
    Row(ALL, Action.RETRY, "no connection: nothing was sent", no_response=_NEVER),
    Row(ALL, Action.RETRY, "nothing was sent; a new identity needs some time", no_response=_NO_TOKEN, error=PermissionMissing, tries=8),
    Row(ATTACHING, Action.RECONCILE, "may have attached the file", no_response=_UNKNOWN, error=OutcomeUnknown),
    Row(_RANGE, Action.RESYNCHRONISE, "the server may have the bytes", no_response=_UNKNOWN, resend=True),
    Row(ALL, Action.RETRY, "harmless to repeat", no_response=_UNKNOWN),
    # Decided by the error code, for any status.
    Row(ALL, Action.GIVE_UP, "the mailbox's own limit", codes=_LIMITS, error=MailboxLimitExceeded),
    Row(_CREATE, Action.POST_INSTEAD, "the boundary is not published", codes=_TOO_SMALL),
    Row(GRAPH, Action.GIVE_UP, "no such mailbox", codes=_NO_MAILBOX, error=ItemNotFound),
    Row(GRAPH, Action.GIVE_UP, "a bug of this app", codes=_FILES_ONLY),
    Row(_CREATE, Action.GIVE_UP, "this cloud has no upload sessions", message_part="segment 'createUploadSession'", error=UploadSessionsUnavailable),
    # Limits by status.
    Row(_SMALL_POST, Action.SESSION_INSTEAD, "the boundary is not published", statuses=_s(413)),
    Row(ALL, Action.GIVE_UP, "too large for the mailbox", statuses=_s(413, 507), error=MailboxLimitExceeded),
    # Waiting helps.
    Row(ALL, Action.RETRY, "throttled or briefly unavailable: refused, not processed", statuses=_THROTTLED, retry_after=5.0),
    Row(ALL, Action.RETRY, "another request is writing to the item", statuses=_s(409, 412, 423)),
    # The server failed midway: the outcome is unknown.
    Row(ATTACHING, Action.RECONCILE, "may have attached the file", statuses=_FAILED_MIDWAY, error=OutcomeUnknown),
    Row(_RANGE, Action.RETRY, "not before the Retry-After", statuses=_FAILED_MIDWAY, when=_has_to_wait),
    Row(_RANGE, Action.RESYNCHRONISE, "the server may have the bytes", statuses=_FAILED_MIDWAY, resend=True),
    Row(ALL, Action.RETRY, "harmless to repeat", statuses=_FAILED_MIDWAY),
    # The identity.
    Row(GRAPH, Action.GIVE_UP, "a fresh token was refused too", statuses=_s(401), error=PermissionMissing),
    Row(GRAPH, Action.GIVE_UP, "the identity has no access to the mailbox", statuses=_s(403), error=PermissionMissing),
    # The item, the session.
    Row(AFTER_TRANSFER, Action.GIVE_UP, "removed, or its item was removed or moved", statuses=_s(404, 410), error=AttachmentNotFound),
    Row(_FIND_ITEM, Action.GIVE_UP, "the item was removed or moved", statuses=_s(404, 410), error=ItemNotFound),
    Row(GRAPH, Action.RETRY, "a new draft may not be visible yet", statuses=_s(404), error=ItemNotFound, tries=4),
    Row(_CREATE, Action.GIVE_UP, "this cloud has no upload sessions", statuses=_s(405, 501), error=UploadSessionsUnavailable),
    Row(_LAST_RANGE, Action.RECONCILE, "gone, perhaps because it is complete", statuses=_SESSION_GONE),
    Row(_RANGE, Action.NEW_SESSION, "the session is gone", statuses=_SESSION_GONE),
    Row(PUT, Action.RETRY, "not before the Retry-After", statuses=_NOT_THE_RANGE, when=_has_to_wait),
    Row(PUT, Action.RESYNCHRONISE, "not the range that the server expects, with any code", statuses=_NOT_THE_RANGE, tries=MAX_RANGE_REFUSALS),
    Row(GRAPH, Action.RETRY, "no code: the body of the refusal was damaged in transit", statuses=_s(400), codes=_c(""), tries=3),
    Row(ALL, Action.GIVE_UP, "any other refusal is final"),
)
# An accepted range whose response does not say what the server expects next.
POSITION_MISSING = Row(PUT, Action.RESYNCHRONISE, "accepted, without a position", resend=True)

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


def decide(call: Call, response: GraphResponse) -> Row:
    """The first row that matches; the last rows match every response."""
    return next(row for row in TABLE if row.matches(call, response))


def decide_storage(call: StorageCall, error: StorageFailure) -> StorageRow:
    """The first row that matches; the last one matches every failure."""
    return next(row for row in STORAGE_TABLE if row.matches(call, error))


def is_retryable(error: StorageUnavailable) -> bool:
    """Whether the caller, or the sender of the event, should try again."""
    return decide_storage(StorageCall.CALLER, error).action is Action.RETRY


def effective_retry_after(row: Row, response: GraphResponse) -> float | None:
    """Seconds without any request to the mailbox: the response's Retry-After, else the row's."""
    return row.retry_after if response.retry_after is None else response.retry_after


def _is_outdated(error: StorageFailure) -> bool:
    row = decide_storage(StorageCall.METADATA_WRITE, error)
    return row.action is Action.RESYNCHRONISE


def _is_refused(error: StorageFailure, has_endless_lease: bool) -> bool:
    leased, other = StorageCall.LEASED_METADATA_WRITE, StorageCall.METADATA_WRITE
    return decide_storage(leased if has_endless_lease else other, error).action is Action.GIVE_UP


# For shared/outlook and shared/storage, which are below this module.
RESPONSE_RULES = ResponseRules(token_refused=_s(401), throttled=_THROTTLED)
RECORD_WRITES = WriteRules(
    attempts=MAX_RECORD_WRITES,
    is_outdated=_is_outdated,
    is_refused=_is_refused,
)
