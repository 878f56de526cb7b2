"""The row types of the retry tables; the tables themselves are in ``retry_policy``."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from shared.errors import GraphRefused, Permanent, StorageUnavailable
from shared.outlook.graph_response import GraphResponse, NoResponse
from shared.storage.storage_errors import BlobChanged

type StorageFailure = StorageUnavailable | BlobChanged


class GraphFailing(GraphRefused, code="GraphRefused"):
    """The end when every try failed and no response says why."""


class Call(Enum):
    """The requests to Graph and Outlook that the table distinguishes."""

    LIST = "list attachments"
    DRAFT_STATE = "get whether the message is a draft"
    CREATE = "create upload session"
    SMALL_POST = "attach small file"
    RANGE = "put range"
    LAST_RANGE = "put last range"
    STATE = "get session state"
    COMPARE = "read attachment to compare its bytes"
    DESCRIBE = "describe attachment"
    CONTENT = "read attachment"
    REMOVE = "remove attachment"
    FIND_ITEM = "find the item of a missing attachment"
    CANCEL = "delete session"
    REACH = "get the service document"


class StorageCall(Enum):
    """The requests to Azure Storage that the storage table distinguishes."""

    METADATA_WRITE = "write metadata"
    LEASED_METADATA_WRITE = "write metadata of a blob with a lease that never expires"
    CALLER = "a request on behalf of a caller or an event"


class Action(Enum):
    """What to do about a response."""

    PROCEED = "success"
    ATTACHED = "success: the file is attached"
    RETRY = "send the same request again, after a wait"
    RESYNCHRONISE = "read the present state, and go on from there"
    NEW_SESSION = "the session is gone with nothing attached: create a new one"
    RECONCILE = "unknown outcome: search the item's attachments"
    SESSION_INSTEAD = "too large for a POST: use an upload session"
    POST_INSTEAD = "too small for an upload session: use a POST"
    SKIP = "go on without this response"
    GIVE_UP = "permanent"


def _always(_: GraphResponse) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table for Graph and Outlook. Empty ``statuses`` or ``codes`` match any.

    ``no_response``: the row is for requests without a usable response, for these reasons.
    ``message_part`` is for refusals without a code of their own; ``when`` is a further condition.
    ``error`` is how the transfer ends if this response is the last one. ``tries`` bounds the
    repetitions without progress, None: until the deadline. ``retry_after``: seconds without any
    request to the mailbox, where the response has no Retry-After. ``resend``: if the session does
    not say what it has, the range is sent once more.
    """

    calls: frozenset[Call]
    action: Action
    reason: str
    statuses: frozenset[int] = frozenset()
    codes: frozenset[str] = frozenset()
    message_part: str = ""
    when: Callable[[GraphResponse], bool] = _always
    no_response: frozenset[NoResponse] = frozenset()
    error: type[Permanent] = GraphRefused
    tries: int | None = None
    retry_after: float | None = None
    resend: bool = False

    def matches(self, call: Call, response: GraphResponse) -> bool:
        """Whether the row is for this response to this call."""
        if call not in self.calls:
            return False
        if response.no_response is not None:
            return response.no_response in self.no_response
        return not self.no_response and self._matches_response(response)

    def _matches_response(self, response: GraphResponse) -> bool:
        return (
            (not self.statuses or response.status in self.statuses)
            and (not self.codes or response.code.lower() in self.codes)
            and self.message_part in response.message
            and self.when(response)
        )


@dataclass(frozen=True, slots=True)
class StorageRow:
    """One row of the table for Azure Storage. Empty ``statuses`` or ``codes`` match any."""

    calls: frozenset[StorageCall]
    action: Action
    reason: str
    statuses: frozenset[int] = frozenset()
    codes: frozenset[str] = frozenset()

    def matches(self, call: StorageCall, error: StorageFailure) -> bool:
        """Whether the row is for this failure of this call."""
        return (
            call in self.calls
            and (not self.statuses or error.status in self.statuses)
            and (not self.codes or error.storage_code.lower() in self.codes)
        )
