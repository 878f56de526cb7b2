"""The transitions of a transfer: for every state, the events that can occur and what follows.

No other module decides what follows. An event that is a special case of another one
(``RETRY_IN_DOUBT`` of ``RETRY``, for example) applies only in states that list it; the others use
the general event.
"""

from shared.transfer.workflow.stages import Ending, Event, State

type Targets = dict[Event, State | Ending]

_SENDING: Targets = {
    Event.ATTACHED: Ending.ATTACHED,
    Event.FAILED: Ending.FAILED,
    Event.SUPERSEDED: Ending.SUPERSEDED,
    Event.RETRIES_SPENT: Ending.FAILED,
    Event.CANCEL: Ending.CANCELLED,
    Event.DEADLINE: Ending.TOO_LATE,
    Event.NO_CALL_LEFT: Ending.TOO_LATE,
}
_IN_DOUBT: Targets = {
    Event.CANCEL: State.CLOSING_CANCELLED,
    Event.DEADLINE: State.CLOSING_LATE,
    Event.NO_CALL_LEFT: Ending.UNKNOWN,
}
_POSTING: Targets = _SENDING | {
    Event.RETRY: State.POSTING,
    Event.RETRY_IN_DOUBT: State.POSTING_IN_DOUBT,
    Event.SESSION_INSTEAD: State.CREATING,
    Event.BOTH_REFUSED: Ending.FAILED,
    Event.START_OVER: State.POSTING,
    Event.ATTEMPTS_SPENT: Ending.FAILED,
    Event.RECONCILE: State.SEARCHING_FOR_POST,
}
_CREATING: Targets = _SENDING | {
    Event.PROGRESS: State.UPLOADING,
    Event.RETRY: State.CREATING,
    Event.BOTH_REFUSED: Ending.FAILED,
    Event.RECONCILE: State.SEARCHING_FOR_UPLOAD,
}
_UPLOADING: Targets = _SENDING | {
    Event.PROGRESS: State.UPLOADING,
    Event.RETRY: State.UPLOADING,
    Event.RETRY_IN_DOUBT: State.UPLOADING_IN_DOUBT,
    Event.NEW_SESSION: State.CLOSING_TO_RESTART,
    Event.START_OVER: State.CLOSING_TO_RESTART,
    Event.ATTEMPTS_SPENT: Ending.FAILED,
    Event.RECONCILE: State.CLOSING_TO_SEARCH,
    Event.DEADLINE_IN_DOUBT: State.CLOSING_LATE,
}
# A session that cannot be deleted expires by itself: the transfer goes on without the deletion.
_CLOSING: Targets = {
    Event.FAILED: Ending.FAILED,
    Event.CANCEL: State.CLOSING_TO_END,
    Event.DEADLINE: Ending.TOO_LATE,
    Event.DEADLINE_IN_DOUBT: State.CLOSING_LATE,
    Event.NO_CALL_LEFT: Ending.TOO_LATE,
}
# A refused search does not show whether the file is attached.
_SEARCH: Targets = {
    Event.FAILED: Ending.UNKNOWN,
    Event.NO_CALL_LEFT: Ending.UNKNOWN,
}
_CLOSING_FOR_SEARCH: Targets = _SEARCH | {
    Event.CANCEL: State.CLOSING_CANCELLED,
    Event.DEADLINE: State.CLOSING_LATE,
    Event.DEADLINE_CUTS_SHORT: State.CLOSING_CUT_SHORT,
}
_SEARCHING: Targets = _SEARCH | {
    Event.ATTACHED: Ending.ATTACHED,
    Event.SUPERSEDED: Ending.SUPERSEDED,
    Event.RETRIES_SPENT: Ending.UNKNOWN,
    Event.CANCEL: State.SEARCHING_CANCELLED,
    Event.DEADLINE: State.SEARCHING_LATE,
    Event.DEADLINE_CUTS_SHORT: State.SEARCHING_CUT_SHORT,
}
# RECONCILE_SECONDS are over, so no deadline cuts this search short.
_LAST_SEARCH: Targets = _SEARCH | {
    Event.ATTACHED: Ending.ATTACHED,
    Event.SUPERSEDED: Ending.SUPERSEDED,
    Event.RETRIES_SPENT: Ending.UNKNOWN,
    Event.CANCEL: State.LAST_SEARCH_CANCELLED,
    Event.DEADLINE: State.SEARCHING_LATE,
}
# After the deadline nothing is repeated.
_LATE_SEARCH: Targets = _SEARCH | {
    Event.ATTACHED: Ending.ATTACHED,
    Event.SUPERSEDED: Ending.SUPERSEDED,
    Event.RETRIES_SPENT: Ending.UNKNOWN,
    Event.NOT_YET: Ending.UNKNOWN,
}

TRANSITIONS: dict[State, Targets] = {
    State.QUEUED_TO_POST: {
        Event.BEGIN: State.POSTING,
        Event.CANCEL: Ending.CANCELLED,
        Event.DEADLINE: Ending.NEVER_STARTED,
    },
    State.QUEUED_TO_CREATE: {
        Event.BEGIN: State.CREATING,
        Event.CANCEL: Ending.CANCELLED,
        Event.DEADLINE: Ending.NEVER_STARTED,
    },
    State.POSTING: _POSTING,
    State.POSTING_IN_DOUBT: _POSTING
    | _IN_DOUBT
    | {
        Event.SESSION_INSTEAD: State.CREATING_IN_DOUBT,
    },
    State.CREATING: _CREATING
    | {
        Event.POST_INSTEAD: State.POSTING,
    },
    State.CREATING_IN_DOUBT: _CREATING
    | _IN_DOUBT
    | {
        Event.PROGRESS: State.UPLOADING_IN_DOUBT,
        Event.RETRY: State.CREATING_IN_DOUBT,
    },
    State.UPLOADING: _UPLOADING,
    State.UPLOADING_IN_DOUBT: _UPLOADING
    | _IN_DOUBT
    | {
        Event.PROGRESS: State.UPLOADING_IN_DOUBT,
    },
    State.CLOSING_TO_RESTART: _CLOSING
    | {
        Event.PROGRESS: State.CREATING,
        Event.RETRY: State.CLOSING_TO_RESTART,
        Event.RETRIES_SPENT: State.CREATING,
    },
    State.CLOSING_TO_END: _CLOSING
    | {
        Event.PROGRESS: Ending.CANCELLED,
        Event.RETRY: State.CLOSING_TO_END,
        Event.RETRIES_SPENT: Ending.CANCELLED,
    },
    State.CLOSING_TO_SEARCH: _CLOSING_FOR_SEARCH
    | {
        Event.PROGRESS: State.SEARCHING_FOR_UPLOAD,
        Event.RETRY: State.CLOSING_TO_SEARCH,
        Event.RETRIES_SPENT: State.SEARCHING_FOR_UPLOAD,
    },
    State.CLOSING_CANCELLED: _CLOSING_FOR_SEARCH
    | {
        Event.PROGRESS: State.SEARCHING_CANCELLED,
        Event.RETRY: State.CLOSING_CANCELLED,
        Event.RETRIES_SPENT: State.SEARCHING_CANCELLED,
    },
    State.CLOSING_LATE: _SEARCH
    | {
        Event.PROGRESS: State.SEARCHING_LATE,
        Event.RETRIES_SPENT: State.SEARCHING_LATE,
        Event.CANCEL: State.CLOSING_LATE,
        Event.DEADLINE: State.CLOSING_LATE,
    },
    State.CLOSING_CUT_SHORT: _SEARCH
    | {
        Event.PROGRESS: State.SEARCHING_CUT_SHORT,
        Event.RETRIES_SPENT: State.SEARCHING_CUT_SHORT,
        Event.CANCEL: State.CLOSING_CUT_SHORT,
        Event.DEADLINE: State.CLOSING_CUT_SHORT,
    },
    State.SEARCHING_FOR_POST: _SEARCHING
    | {
        Event.SEARCH_REFUSED: Ending.FAILED,
        Event.RETRY: State.SEARCHING_FOR_POST,
        Event.NOT_YET: State.SEARCHING_FOR_POST,
        Event.NOT_ATTACHED: State.LAST_SEARCH_FOR_POST,
    },
    State.LAST_SEARCH_FOR_POST: _LAST_SEARCH
    | {
        Event.RETRY: State.LAST_SEARCH_FOR_POST,
        Event.NOT_YET: State.LAST_SEARCH_FOR_POST,
        Event.NOT_ATTACHED: State.POSTING,
        # A request that fails at every try may be too large.
        Event.SESSION_AT_LAST: State.CREATING,
        Event.ATTEMPTS_SPENT: Ending.FAILED,
        Event.SEARCH_REFUSED: Ending.FAILED,
        Event.FAILED_ANYWAY: Ending.FAILED,
    },
    State.SEARCHING_FOR_UPLOAD: _SEARCHING
    | {
        Event.SEARCH_REFUSED: Ending.FAILED,
        Event.RETRY: State.SEARCHING_FOR_UPLOAD,
        Event.NOT_YET: State.SEARCHING_FOR_UPLOAD,
        Event.NOT_ATTACHED: State.LAST_SEARCH_FOR_UPLOAD,
    },
    State.LAST_SEARCH_FOR_UPLOAD: _LAST_SEARCH
    | {
        Event.RETRY: State.LAST_SEARCH_FOR_UPLOAD,
        Event.NOT_YET: State.LAST_SEARCH_FOR_UPLOAD,
        Event.NOT_ATTACHED: State.CREATING,
        Event.ATTEMPTS_SPENT: Ending.FAILED,
        Event.SEARCH_REFUSED: Ending.FAILED,
        Event.FAILED_ANYWAY: Ending.FAILED,
        Event.SUPERSEDED_ANYWAY: Ending.SUPERSEDED,
    },
    State.SEARCHING_CANCELLED: _SEARCHING
    | {
        Event.RETRY: State.SEARCHING_CANCELLED,
        Event.NOT_YET: State.SEARCHING_CANCELLED,
        Event.NOT_ATTACHED: State.LAST_SEARCH_CANCELLED,
    },
    State.LAST_SEARCH_CANCELLED: _LAST_SEARCH
    | {
        Event.RETRY: State.LAST_SEARCH_CANCELLED,
        Event.NOT_YET: State.LAST_SEARCH_CANCELLED,
        Event.NOT_ATTACHED: Ending.CANCELLED,
    },
    State.SEARCHING_LATE: _LATE_SEARCH
    | {
        Event.NOT_ATTACHED: Ending.TOO_LATE,
        Event.CANCEL: State.SEARCHING_LATE,
        Event.DEADLINE: State.SEARCHING_LATE,
    },
    State.SEARCHING_CUT_SHORT: _LATE_SEARCH
    | {
        Event.NOT_ATTACHED: Ending.UNKNOWN,
        Event.CANCEL: State.SEARCHING_CUT_SHORT,
        Event.DEADLINE: State.SEARCHING_CUT_SHORT,
    },
}
