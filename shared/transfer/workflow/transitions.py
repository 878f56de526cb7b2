"""What follows what: for every state of a transfer, the events that it can meet.

The only place that decides it. An event that is a special case of another (``RETRY_IN_DOUBT`` of
``RETRY``, for example) counts only where the state's row has it; otherwise the general one does.
"""

from shared.transfer.workflow.stages import Ending, Event, State

type Row = dict[Event, State | Ending]

_SENDING: Row = {
    Event.ATTACHED: Ending.ATTACHED,
    Event.FAILED: Ending.FAILED,
    Event.SUPERSEDED: Ending.SUPERSEDED,
    Event.RETRIES_SPENT: Ending.FAILED,
    Event.CANCEL: Ending.CANCELLED,
    Event.DEADLINE: Ending.TOO_LATE,
    Event.NO_CALL_LEFT: Ending.TOO_LATE,
}
_IN_DOUBT: Row = {
    Event.CANCEL: State.CLOSING_CANCELLED,
    Event.DEADLINE: State.CLOSING_LATE,
    Event.NO_CALL_LEFT: Ending.UNKNOWN,
}
_POSTING: Row = _SENDING | {
    Event.RETRY: State.POSTING,
    Event.RETRY_IN_DOUBT: State.POSTING_IN_DOUBT,
    Event.SESSION_INSTEAD: State.CREATING,
    Event.NEITHER_WAY: Ending.FAILED,
    Event.START_OVER: State.POSTING,
    Event.ATTEMPTS_SPENT: Ending.FAILED,
    Event.RECONCILE: State.LOOKING_FOR_POST,
}
_CREATING: Row = _SENDING | {
    Event.PROGRESS: State.UPLOADING,
    Event.RETRY: State.CREATING,
    Event.NEITHER_WAY: Ending.FAILED,
    Event.RECONCILE: State.LOOKING_FOR_UPLOAD,
}
_UPLOADING: Row = _SENDING | {
    Event.PROGRESS: State.UPLOADING,
    Event.RETRY: State.UPLOADING,
    Event.RETRY_IN_DOUBT: State.UPLOADING_IN_DOUBT,
    Event.NEW_SESSION: State.CLOSING_TO_RESTART,
    Event.START_OVER: State.CLOSING_TO_RESTART,
    Event.ATTEMPTS_SPENT: Ending.FAILED,
    Event.RECONCILE: State.CLOSING_TO_LOOK,
    Event.DEADLINE_IN_DOUBT: State.CLOSING_LATE,
}
# No outcome of a deletion but the end of the transfer holds it up: a session expires by itself.
_CLOSING: Row = {
    Event.FAILED: Ending.FAILED,
    Event.CANCEL: State.CLOSING_TO_END,
    Event.DEADLINE: Ending.TOO_LATE,
    Event.DEADLINE_IN_DOUBT: State.CLOSING_LATE,
    Event.NO_CALL_LEFT: Ending.TOO_LATE,
}
# A refusal of a search, or of what leads to it, says nothing about the attachment.
_SEARCH: Row = {
    Event.FAILED: Ending.UNKNOWN,
    Event.NO_CALL_LEFT: Ending.UNKNOWN,
}
_CLOSING_FOR_SEARCH: Row = _SEARCH | {
    Event.CANCEL: State.CLOSING_CANCELLED,
    Event.DEADLINE: State.CLOSING_LATE,
    Event.DEADLINE_CUTS_SHORT: State.CLOSING_CUT_SHORT,
}
_LOOKING: Row = _SEARCH | {
    Event.ATTACHED: Ending.ATTACHED,
    Event.RETRIES_SPENT: Ending.UNKNOWN,
    Event.CANCEL: State.LOOKING_CANCELLED,
    Event.DEADLINE: State.LOOKING_LATE,
    Event.DEADLINE_CUTS_SHORT: State.LOOKING_CUT_SHORT,
}
# The time of the search is over already.
_LAST_LOOK: Row = _SEARCH | {
    Event.ATTACHED: Ending.ATTACHED,
    Event.RETRIES_SPENT: Ending.UNKNOWN,
    Event.CANCEL: State.LAST_LOOK_CANCELLED,
    Event.DEADLINE: State.LOOKING_LATE,
}
# After the deadline nothing is repeated.
_LATE_LOOK: Row = _SEARCH | {
    Event.ATTACHED: Ending.ATTACHED,
    Event.RETRIES_SPENT: Ending.UNKNOWN,
    Event.NOT_YET: Ending.UNKNOWN,
}

TABLE: dict[State, Row] = {
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
    State.CLOSING_TO_LOOK: _CLOSING_FOR_SEARCH
    | {
        Event.PROGRESS: State.LOOKING_FOR_UPLOAD,
        Event.RETRY: State.CLOSING_TO_LOOK,
        Event.RETRIES_SPENT: State.LOOKING_FOR_UPLOAD,
    },
    State.CLOSING_CANCELLED: _CLOSING_FOR_SEARCH
    | {
        Event.PROGRESS: State.LOOKING_CANCELLED,
        Event.RETRY: State.CLOSING_CANCELLED,
        Event.RETRIES_SPENT: State.LOOKING_CANCELLED,
    },
    State.CLOSING_LATE: _SEARCH
    | {
        Event.PROGRESS: State.LOOKING_LATE,
        Event.RETRIES_SPENT: State.LOOKING_LATE,
        Event.CANCEL: State.CLOSING_LATE,
        Event.DEADLINE: State.CLOSING_LATE,
    },
    State.CLOSING_CUT_SHORT: _SEARCH
    | {
        Event.PROGRESS: State.LOOKING_CUT_SHORT,
        Event.RETRIES_SPENT: State.LOOKING_CUT_SHORT,
        Event.CANCEL: State.CLOSING_CUT_SHORT,
        Event.DEADLINE: State.CLOSING_CUT_SHORT,
    },
    State.LOOKING_FOR_POST: _LOOKING
    | {
        Event.RETRY: State.LOOKING_FOR_POST,
        Event.NOT_YET: State.LOOKING_FOR_POST,
        Event.NOT_ATTACHED: State.LAST_LOOK_FOR_POST,
    },
    State.LAST_LOOK_FOR_POST: _LAST_LOOK
    | {
        Event.RETRY: State.LAST_LOOK_FOR_POST,
        Event.NOT_YET: State.LAST_LOOK_FOR_POST,
        Event.NOT_ATTACHED: State.POSTING,
        Event.ATTEMPTS_SPENT: Ending.FAILED,
    },
    State.LOOKING_FOR_UPLOAD: _LOOKING
    | {
        Event.RETRY: State.LOOKING_FOR_UPLOAD,
        Event.NOT_YET: State.LOOKING_FOR_UPLOAD,
        Event.NOT_ATTACHED: State.LAST_LOOK_FOR_UPLOAD,
    },
    State.LAST_LOOK_FOR_UPLOAD: _LAST_LOOK
    | {
        Event.RETRY: State.LAST_LOOK_FOR_UPLOAD,
        Event.NOT_YET: State.LAST_LOOK_FOR_UPLOAD,
        Event.NOT_ATTACHED: State.CREATING,
        Event.ATTEMPTS_SPENT: Ending.FAILED,
        Event.FAILED_ANYWAY: Ending.FAILED,
        Event.SUPERSEDED_ANYWAY: Ending.SUPERSEDED,
    },
    State.LOOKING_CANCELLED: _LOOKING
    | {
        Event.RETRY: State.LOOKING_CANCELLED,
        Event.NOT_YET: State.LOOKING_CANCELLED,
        Event.NOT_ATTACHED: State.LAST_LOOK_CANCELLED,
    },
    State.LAST_LOOK_CANCELLED: _LAST_LOOK
    | {
        Event.RETRY: State.LAST_LOOK_CANCELLED,
        Event.NOT_YET: State.LAST_LOOK_CANCELLED,
        Event.NOT_ATTACHED: Ending.CANCELLED,
    },
    State.LOOKING_LATE: _LATE_LOOK
    | {
        Event.NOT_ATTACHED: Ending.TOO_LATE,
        Event.CANCEL: State.LOOKING_LATE,
        Event.DEADLINE: State.LOOKING_LATE,
    },
    State.LOOKING_CUT_SHORT: _LATE_LOOK
    | {
        Event.NOT_ATTACHED: Ending.UNKNOWN,
        Event.CANCEL: State.LOOKING_CUT_SHORT,
        Event.DEADLINE: State.LOOKING_CUT_SHORT,
    },
}
