"""Where retrying is decided: what each response of Graph and Outlook leads to.

The first row of ``TABLE`` that matches decides; for Azure Storage, that of ``storage_policy``.
Every bound of a repetition is defined here, too. Without a ``Retry-After``, the orchestrator
waits 1, 2, 4 … 60 seconds with jitter between two tries, and longer before a new upload session.
``RESPONSE_RULES`` is the data for shared/outlook, which may not import this module.

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
    UploadSessionsUnavailable,
)
from shared.outlook.graph_response import GraphResponse, NoResponse, ResponseRules
from shared.transfer import published_codes as codes
from shared.transfer.retry_table import (
    Action,
    Call,
    GraphFailing,
    Row,
)

AFTER_TRANSFER = frozenset({Call.DESCRIBE, Call.CONTENT, Call.REMOVE})
GRAPH = AFTER_TRANSFER | {
    *(Call.LIST, Call.DRAFT_STATE, Call.CREATE, Call.SMALL_POST, Call.FIND_ITEM)
}
PUT = frozenset({Call.RANGE, Call.LAST_RANGE})
ATTACHING = frozenset({Call.LAST_RANGE, Call.SMALL_POST})
SENDING = PUT | {Call.CREATE, Call.SMALL_POST}
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
# Responses that may be refusals, but have no published code that says so.
MAX_DOUBTFUL_REFUSALS = 4
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
# Seconds that a transfer waits for an earlier one from the same blob name to the same item.
SAME_PATH_SECONDS = 900.0
# Contents that one transfer attaches: a blob without MD5 may be overwritten within a second.
MAX_CONTENTS = 4
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


_CREATE, _SMALL_POST = frozenset({Call.CREATE}), frozenset({Call.SMALL_POST})
_RANGE, _LAST_RANGE = frozenset({Call.RANGE}), frozenset({Call.LAST_RANGE})
_COMPARE, _CANCEL = frozenset({Call.COMPARE}), frozenset({Call.CANCEL})
_FIND_ITEM, _REACH = frozenset({Call.FIND_ITEM}), frozenset({Call.REACH})
_STATE = frozenset({Call.STATE})
_NEVER, _NO_TOKEN = frozenset({NoResponse.NEVER_SENT}), frozenset({NoResponse.NO_IDENTITY})
_UNKNOWN = frozenset({NoResponse.UNKNOWN})
_SUCCESS = frozenset(range(200, 300))
_THROTTLED = _s(429, 503, 509)
_CONFLICT = _s(409, 412, 423)
_SESSION_GONE = _s(401, 404, 410)
_NOT_THE_RANGE = _s(400, 416)
_PASSING = _s(408, 425, 429, *range(500, 600))


def _is_passing(response: GraphResponse) -> bool:
    return response.status in _PASSING or codes.passes(response.code)


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
    Row(_REACH, Action.RETRY, "throttled or unavailable", when=_is_passing),
    Row(_REACH, Action.PROCEED, "any other response shows that Graph can be reached"),
    # No usable response: what may have happened decides.
    Row(ALL, Action.RETRY, "no connection: nothing was sent", no_response=_NEVER),
    Row(ALL, Action.RETRY, "nothing was sent; a new identity needs some time", no_response=_NO_TOKEN, error=PermissionMissing, tries=8),
    Row(ATTACHING, Action.RECONCILE, "may have attached the file", no_response=_UNKNOWN, error=GraphFailing),
    Row(_RANGE, Action.RESYNCHRONISE, "the server may have the bytes", no_response=_UNKNOWN, resend=True),
    Row(_STATE, Action.RETRY, "the query can be repeated", no_response=_UNKNOWN, tries=MAX_STATE_QUERIES),
    Row(ALL, Action.RETRY, "harmless to repeat", no_response=_UNKNOWN),
    # The query for the state of a session.
    Row(_STATE, Action.RETRY, "the query can be repeated", when=_is_passing, tries=MAX_STATE_QUERIES),
    Row(_STATE, Action.SKIP, "Outlook does not say"),
    # Limits by status.
    Row(_SMALL_POST, Action.SESSION_INSTEAD, "the boundary is not published", statuses=_s(413)),
    Row(SENDING, Action.GIVE_UP, "too large for the mailbox", statuses=_s(413, 507), error=MailboxLimitExceeded),
    # Refused before any work, and final: by a published code, for any status.
    Row(ALL, Action.GIVE_UP, "the mailbox's own limit", codes=codes.LIMITS, error=MailboxLimitExceeded),
    Row(_CREATE, Action.POST_INSTEAD, "the boundary is not published", codes=codes.TOO_SMALL),
    Row(GRAPH, Action.GIVE_UP, "no such mailbox", codes=codes.NO_MAILBOX, error=ItemNotFound),
    Row(GRAPH, Action.GIVE_UP, "a bug of this app", codes=codes.FILES_ONLY),
    Row(_CREATE, Action.GIVE_UP, "this cloud has no upload sessions", message_part="segment 'createUploadSession'", error=UploadSessionsUnavailable),
    Row(GRAPH | PUT, Action.GIVE_UP, "the identity has no access to the mailbox", codes=codes.ACCESS_DENIED, error=PermissionMissing),
    Row(_CREATE, Action.GIVE_UP, "this cloud has no upload sessions", statuses=_s(405, 501), codes=codes.MALFORMED, error=UploadSessionsUnavailable),
    Row(GRAPH, Action.GIVE_UP, "the same request would be refused again", codes=codes.MALFORMED),
    # Refused before any work, for now.
    Row(ALL, Action.RETRY, "throttled: refused, not processed", codes=codes.THROTTLED, retry_after=5.0),
    Row(ALL, Action.RETRY, "another request is writing to the item", codes=codes.CONFLICT),
    Row(_SMALL_POST, Action.RETRY, "the token was refused: once more with a fresh one", codes=codes.TOKEN_REFUSED, error=PermissionMissing, tries=2),
    Row(_SMALL_POST, Action.RETRY, "a new draft may not be visible yet", codes=codes.NOT_FOUND, error=ItemNotFound, tries=4),
    # Every other response to a request that attaches leaves the outcome unknown.
    Row(PUT, Action.RETRY, "not before the Retry-After", statuses=_NOT_THE_RANGE, when=_has_to_wait),
    Row(PUT, Action.RESYNCHRONISE, "not the range that the server expects, with any code", statuses=_NOT_THE_RANGE, tries=MAX_RANGE_REFUSALS),
    Row(ATTACHING, Action.RECONCILE, "may have attached the file; throttled, too", statuses=_THROTTLED, error=GraphFailing, retry_after=5.0),
    Row(_SMALL_POST, Action.RECONCILE, "may have attached the file, and no code says otherwise", statuses=_s(401, 403), error=PermissionMissing),
    Row(ATTACHING, Action.RECONCILE, "may have attached the file, and no code says otherwise", error=GraphFailing),
    # A range before the last one: its bytes may have arrived. After a wait, the session is queried first.
    Row(_RANGE, Action.NEW_SESSION, "the session is gone", statuses=_SESSION_GONE),
    Row(_RANGE, Action.RETRY, "throttled or briefly unavailable", statuses=_THROTTLED, retry_after=5.0),
    Row(_RANGE, Action.RETRY, "another request is writing to the item", statuses=_CONFLICT),
    Row(_RANGE, Action.RETRY, "not before the Retry-After", when=_has_to_wait),
    Row(_RANGE, Action.RESYNCHRONISE, "the server may have the bytes", when=_is_passing, resend=True),
    Row(_RANGE, Action.RESYNCHRONISE, "a response that says nothing about the bytes", tries=MAX_RANGE_REFUSALS, resend=True),
    # Removed, moved, or not there yet.
    Row(GRAPH, Action.GIVE_UP, "a fresh token was refused too", statuses=_s(401), error=PermissionMissing),
    Row(AFTER_TRANSFER, Action.GIVE_UP, "removed, or its item was removed or moved", statuses=_s(404, 410), error=AttachmentNotFound),
    Row(_FIND_ITEM, Action.GIVE_UP, "the item was removed or moved", statuses=_s(404, 410), error=ItemNotFound),
    Row(GRAPH, Action.RETRY, "a new draft may not be visible yet", statuses=_s(404), error=ItemNotFound, tries=4),
    # Harmless to repeat: until the deadline, or a few times if it may be a refusal after all.
    Row(_CREATE, Action.RETRY, "perhaps this cloud has no upload sessions", statuses=_s(405, 501), error=UploadSessionsUnavailable, tries=MAX_DOUBTFUL_REFUSALS),
    Row(ALL, Action.RETRY, "throttled or briefly unavailable", statuses=_THROTTLED, retry_after=5.0),
    Row(ALL, Action.RETRY, "another request is writing to the item", statuses=_CONFLICT),
    Row(ALL, Action.RETRY, "it passes", when=_is_passing),
    Row(GRAPH, Action.RETRY, "perhaps the identity has no access, but no code says so", statuses=_s(403), error=PermissionMissing, tries=MAX_DOUBTFUL_REFUSALS),
    Row(GRAPH, Action.RETRY, "a response that nobody knows does not prove a refusal", tries=MAX_DOUBTFUL_REFUSALS),
    Row(ALL, Action.GIVE_UP, "an upload session expires by itself"),
)
# An accepted range whose response does not say what the server expects next.
POSITION_MISSING = Row(PUT, Action.RESYNCHRONISE, "accepted, without a position", resend=True)
# fmt: on


def is_final_after_a_look(call: Call, row: Row) -> bool:
    """Whether this refusal ends a transfer only if one look shows that nothing is attached."""
    return call in ATTACHING and row.action is Action.GIVE_UP


def decide(call: Call, response: GraphResponse) -> Row:
    """The first row that matches; the last rows match every response."""
    return next(row for row in TABLE if row.matches(call, response))


def effective_retry_after(row: Row, response: GraphResponse) -> float | None:
    """Seconds without any request to the mailbox: the response's Retry-After, else the row's."""
    return row.retry_after if response.retry_after is None else response.retry_after


# For shared/outlook, which is below this module.
RESPONSE_RULES = ResponseRules(token_refused=_s(401), throttled=_THROTTLED)
