"""What each answer of Graph and Outlook deserves: one table, first match wins (protocol §5).

Library retries are off; this is the one place that decides. Each row: the calls it is for, the
statuses and error codes it matches, what to do, as which error it ends if it is or becomes the
end, and why. Whatever is done again waits as long as ``Retry-After`` says, and where it says
nothing 1, 2, 4 … 60 seconds with jitter (``waits``); a new session waits longer (``patience``).
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from shared.errors import (
    AttachmentNotFound,
    BlobDeleted,
    GraphRefused,
    ItemNotFound,
    MailboxLimitExceeded,
    OutcomeUnknown,
    Permanent,
    PermissionMissing,
    UploadSessionsUnavailable,
)
from shared.outlook.graph_response import GraphResponse, Lost


class Call(Enum):
    """The kinds of calls whose answers are told apart."""

    LIST = "list attachments"
    CREATE = "create upload session"
    SMALL_POST = "attach small file"
    RANGE = "put range"
    LAST_RANGE = "put last range"
    STATE = "ask session state"
    DESCRIBE = "describe attachment"
    CONTENT = "read attachment"
    REMOVE = "remove attachment"
    METADATA_WRITE = "write metadata"
    CANCEL = "cancel session"


class Action(Enum):
    """What to do about an answer."""

    PROCEED = "the call did what was asked"
    RETRY = "the same call again, after a wait"
    RESYNCHRONISE = "ask where the server stands, go on from there"
    NEW_SESSION = "the session is gone with nothing attached: begin a new one"
    RECONCILE = "the outcome is unknown: look among the item's attachments"
    SESSION_INSTEAD = "too large for a POST here"
    POST_INSTEAD = "too small for a session here"
    GIVE_UP = "permanent"


AFTERWARDS = frozenset({Call.DESCRIBE, Call.CONTENT, Call.REMOVE})
GRAPH = frozenset({Call.LIST, Call.CREATE, Call.SMALL_POST}) | AFTERWARDS
PUT = frozenset({Call.RANGE, Call.LAST_RANGE})
ATTACHING = frozenset({Call.LAST_RANGE, Call.SMALL_POST})
ALL = frozenset(Call)

# The bounds of every repetition; what they bound without progress is in the comment.
# Attempts to attach one file, each with an upload session of its own.
MAX_ATTEMPTS = 5
# Seconds: the longest wait between two tries that nobody gave a Retry-After for.
MAX_BACKOFF_SECONDS = 60.0
# Seconds: Retry-After for a caller, where Graph gives none.
DEFAULT_RETRY_AFTER = 5.0
# Questions for the position of an upload session, and refusals of one range.
MAX_STATE_QUERIES = 3
MAX_RANGE_REFUSALS = 5
# Deletions of one upload session before the next one, and at the end of a transfer. Sessions that
# stay expire by themselves.
MAX_SESSION_CANCELS = 4
MAX_CLEANUP_TRIES = 4
CLEANUP_PATIENCE = timedelta(minutes=10)
# Searches for an attachment whose bytes could not be read, and the wait for the last one.
MAX_UNREAD_LOOKS = 4
LAST_LOOK_PATIENCE = timedelta(seconds=30)
# Metadata writes of others while one range is read, or one record written.
MAX_ETAG_CHANGES = 5
MAX_RECORD_WRITES = 5
# How long storage may be unavailable at the inspection and at the record: an outage ends, and so
# does a lease on the blob.
STORAGE_PATIENCE = timedelta(hours=4)
# How long a transfer waits for the end of its predecessor.
PREDECESSOR_PATIENCE = timedelta(hours=24)
# A lock that is not released belongs to a dead transfer after this time: no activity takes so
# long. A waiter that is this late with its next request is dead, too.
LOCK_LEASE = timedelta(minutes=30)
WAITER_PATIENCE = timedelta(minutes=5)
# Seconds between two requests for a lock, in case its release event is lost. The first in the
# queue polls faster while a holder does not know that it has a waiter.
FIRST_LOCK_POLL_SECONDS, LOCK_POLL_SECONDS = 5.0, 60.0
# Retries of one event within its activity.
MAX_ANNOUNCE_RETRIES = 3

_LIMITS = frozenset(
    {
        "errormessagesizeexceeded",
        "errorattachmentsizelimitexceeded",
        "errorquotaexceeded",
    }
)
_TOO_SMALL = "errorattachmentsizeshouldnotbelessthanminimumsize"
_FILES_ONLY = "errorattachmentsessionissupportedonlyforfileattachments"
_NO_MAILBOX = frozenset({"errorinvaliduser", "mailboxnotenabledforrestapi", "mailboxnothosted"})


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table. Empty ``statuses``, ``codes`` or ``says`` match any.

    ``says`` is a part of the message, for refusals without a code of their own. ``tries`` bounds
    the repetitions without progress; None means until the deadline. ``rest``: seconds for which
    the whole mailbox is left alone, where the answer does not say for how long.
    """

    calls: frozenset[Call]
    action: Action
    reason: str
    statuses: frozenset[int] = frozenset()
    codes: frozenset[str] = frozenset()
    says: str = ""
    lost: Lost | None = None
    error: type[Permanent] = GraphRefused
    tries: int | None = None
    retry_after: float | None = None

    def matches(self, call: Call, answer: GraphResponse) -> bool:
        """Whether this row is about such an answer to such a call."""
        if call not in self.calls or answer.lost is not self.lost:
            return False
        return (
            (not self.statuses or answer.status in self.statuses)
            and (not self.codes or answer.code.lower() in self.codes)
            and self.says in answer.message
        )


def _s(*statuses: int) -> frozenset[int]:
    return frozenset(statuses)


def _c(*codes: str) -> frozenset[str]:
    return frozenset(codes)


_CREATE, _SMALL_POST = frozenset({Call.CREATE}), frozenset({Call.SMALL_POST})
_RANGE, _LAST_RANGE = frozenset({Call.RANGE}), frozenset({Call.LAST_RANGE})
_METADATA = frozenset({Call.METADATA_WRITE})
_LEASED = frozenset({"leaseidmissing", "leaselost", "leaseidmismatchwithbloboperation"})
_NEVER, _UNKNOWN = Lost.NEVER_SENT, Lost.UNKNOWN
_SUCCESS = frozenset(range(200, 300))
_NO_SUCCESS = frozenset(range(300, 600))

# A table reads by its columns, so its rows may be long.
# ruff: noqa: E501
# fmt: off
TABLE: tuple[Row, ...] = (
    Row(ALL, Action.PROCEED, "it worked", statuses=_SUCCESS),
    # Lost answers: what may have happened decides.
    Row(ALL, Action.RETRY, "no connection: nothing was sent", lost=_NEVER),
    Row(ALL, Action.RETRY, "nothing was sent; an identity just assigned takes a while", lost=Lost.NO_IDENTITY, error=PermissionMissing, tries=8),
    Row(ATTACHING, Action.RECONCILE, "may have attached the file", lost=_UNKNOWN, error=OutcomeUnknown),
    Row(_RANGE, Action.RESYNCHRONISE, "the bytes may be there", lost=_UNKNOWN),
    Row(ALL, Action.RETRY, "asks or creates nothing lasting: harmless to repeat", lost=_UNKNOWN),
    # The near side: the record, conditional on the blob's ETag.
    Row(_METADATA, Action.RETRY, "leased by someone else; a lease ends", codes=_LEASED),
    Row(_METADATA, Action.RESYNCHRONISE, "written meanwhile: read, merge and write again", statuses=_s(412)),
    Row(_METADATA, Action.GIVE_UP, "there is no blob to write to", statuses=_s(404), error=BlobDeleted),
    Row(_METADATA, Action.GIVE_UP, "storage takes no such metadata, now or later", statuses=_s(400)),
    Row(_METADATA, Action.RETRY, "unavailable, or a role or network rule is missing", statuses=_NO_SUCCESS),
    # Said by error code, whatever the status.
    Row(ALL, Action.GIVE_UP, "the mailbox's own limit", codes=_LIMITS, error=MailboxLimitExceeded),
    Row(_CREATE, Action.POST_INSTEAD, "the boundary is not published", codes=_c(_TOO_SMALL)),
    Row(GRAPH, Action.GIVE_UP, "Graph knows no such mailbox", codes=_NO_MAILBOX, error=ItemNotFound),
    Row(GRAPH, Action.GIVE_UP, "a bug of this app", codes=_c(_FILES_ONLY)),
    Row(_CREATE, Action.GIVE_UP, "this cloud has no upload sessions", says="segment 'createUploadSession'", error=UploadSessionsUnavailable),
    # Limits by status.
    Row(_SMALL_POST, Action.SESSION_INSTEAD, "the boundary is not published", statuses=_s(413)),
    Row(ALL, Action.GIVE_UP, "too large for the mailbox", statuses=_s(413, 507), error=MailboxLimitExceeded),
    # Waiting helps.
    Row(ALL, Action.RETRY, "throttled or briefly unavailable; refused, not done", statuses=_s(429, 503, 509), retry_after=5.0),
    Row(ALL, Action.RETRY, "another writer is at the item; its turn ends", statuses=_s(409, 412, 423)),
    # The server failed midway: the outcome is unknown.
    Row(ATTACHING, Action.RECONCILE, "may have attached the file", statuses=_s(500, 502, 504), error=OutcomeUnknown),
    Row(_RANGE, Action.RESYNCHRONISE, "the bytes may be there", statuses=_s(500, 502, 504)),
    Row(ALL, Action.RETRY, "harmless to repeat", statuses=_s(500, 502, 504)),
    # The identity.
    Row(GRAPH, Action.GIVE_UP, "a fresh token was refused too", statuses=_s(401), error=PermissionMissing),
    Row(GRAPH, Action.GIVE_UP, "the identity may not write there", statuses=_s(403), error=PermissionMissing),
    # The item, the session.
    Row(AFTERWARDS, Action.GIVE_UP, "it was there once: removed, or its item is gone or has moved", statuses=_s(404, 410), error=AttachmentNotFound),
    Row(GRAPH, Action.RETRY, "a fresh draft may not be visible yet", statuses=_s(404), error=ItemNotFound, tries=4),
    Row(_CREATE, Action.GIVE_UP, "this cloud has no upload sessions", statuses=_s(405, 501), error=UploadSessionsUnavailable),
    Row(_LAST_RANGE, Action.RECONCILE, "gone, perhaps because it was done", statuses=_s(401, 404, 410)),
    Row(PUT, Action.NEW_SESSION, "the session is gone", statuses=_s(401, 404, 410)),
    Row(PUT, Action.RESYNCHRONISE, "not the range the server wants, by whatever code", statuses=_s(400, 416)),
    Row(GRAPH, Action.RETRY, "no code: the refusal's own text was damaged on its way", statuses=_s(400), codes=_c(""), tries=3),
    Row(ALL, Action.GIVE_UP, "any other refusal is final"),
)
# fmt: on


def effective_retry_after(row: Row, answer: GraphResponse) -> float | None:
    """Seconds for which nobody is to ask that mailbox: what the answer says, or else the row."""
    return row.retry_after if answer.retry_after is None else answer.retry_after


def decide(call: Call, answer: GraphResponse) -> Row:
    """The row for this answer: the first that matches. The last row matches every answer."""
    return next(row for row in TABLE if row.matches(call, answer))
