import pytest

from shared.errors import AttachmentNotFound, ItemNotFound, MailboxLimitExceeded, PermissionMissing
from shared.outlook.graph_response import GraphResponse, Lost
from shared.transfer.retry_policy import TABLE, Action, Call, decide

PUTS = (Call.RANGE, Call.LAST_RANGE)
GRAPH = (Call.LIST, Call.CREATE, Call.SMALL_POST)
AFTERWARDS = (Call.DESCRIBE, Call.CONTENT, Call.REMOVE)

# Protocol §5, line by line: calls, status, code, what it deserves.
OUTLOOK = tuple(call for call in Call if call is not Call.METADATA_WRITE)
LINES: list[tuple[tuple[Call, ...], int, str, Action]] = [
    (
        (Call.CREATE,),
        400,
        "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize",
        Action.POST_INSTEAD,
    ),
    ((Call.SMALL_POST,), 413, "", Action.SESSION_INSTEAD),
    (GRAPH, 401, "InvalidAuthenticationToken", Action.GIVE_UP),
    (GRAPH, 403, "ErrorAccessDenied", Action.GIVE_UP),
    (GRAPH, 404, "ErrorItemNotFound", Action.RETRY),
    (GRAPH, 404, "ErrorInvalidUser", Action.GIVE_UP),
    ((Call.RANGE,), 401, "", Action.NEW_SESSION),
    ((Call.RANGE,), 404, "ErrorItemNotFound", Action.NEW_SESSION),
    ((Call.RANGE,), 410, "", Action.NEW_SESSION),
    ((Call.LAST_RANGE,), 404, "", Action.RECONCILE),
    (
        (Call.CREATE,),
        405,
        "ErrorAttachmentSessionIsSupportedOnlyForFileAttachments",
        Action.GIVE_UP,
    ),
    (OUTLOOK, 409, "", Action.RETRY),
    (OUTLOOK, 412, "ErrorIrresolvableConflict", Action.RETRY),
    (OUTLOOK, 423, "", Action.RETRY),
    (OUTLOOK, 507, "", Action.GIVE_UP),
    (OUTLOOK, 400, "ErrorMessageSizeExceeded", Action.GIVE_UP),
    (OUTLOOK, 413, "ErrorAttachmentSizeLimitExceeded", Action.GIVE_UP),
    (OUTLOOK, 403, "ErrorQuotaExceeded", Action.GIVE_UP),
    (PUTS, 416, "", Action.RESYNCHRONISE),
    (PUTS, 400, "InvalidContentRange", Action.RESYNCHRONISE),
    (OUTLOOK, 429, "ApplicationThrottled", Action.RETRY),
    (OUTLOOK, 503, "", Action.RETRY),
    (OUTLOOK, 509, "", Action.RETRY),
    ((Call.RANGE,), 500, "", Action.RESYNCHRONISE),
    ((Call.LAST_RANGE, Call.SMALL_POST), 502, "", Action.RECONCILE),
    ((Call.CREATE, Call.LIST), 504, "", Action.RETRY),
    (GRAPH, 400, "", Action.RETRY),
    (GRAPH, 400, "ErrorInvalidRequest", Action.GIVE_UP),
    (AFTERWARDS, 401, "InvalidAuthenticationToken", Action.GIVE_UP),
    (AFTERWARDS, 403, "ErrorAccessDenied", Action.GIVE_UP),
    (AFTERWARDS, 404, "ErrorItemNotFound", Action.GIVE_UP),
    (AFTERWARDS, 404, "ErrorInvalidUser", Action.GIVE_UP),
    (AFTERWARDS, 410, "", Action.GIVE_UP),
    (AFTERWARDS, 500, "", Action.RETRY),
    (AFTERWARDS, 504, "", Action.RETRY),
    (OUTLOOK, 418, "Teapot", Action.GIVE_UP),
    (OUTLOOK, 302, "", Action.GIVE_UP),
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line[1]}-{line[2]}")
def test_each_answer_gets_what_it_deserves(
    line: tuple[tuple[Call, ...], int, str, Action],
) -> None:
    """The table says what the protocol's own table says."""
    calls, status, code, action = line
    for call in calls:
        assert decide(call, GraphResponse(status=status, code=code)).action is action, call


@pytest.mark.parametrize(
    ("call", "action"),
    [
        (Call.LIST, Action.RETRY),
        (Call.CREATE, Action.RETRY),
        (Call.SMALL_POST, Action.RECONCILE),
        (Call.RANGE, Action.RESYNCHRONISE),
        (Call.LAST_RANGE, Action.RECONCILE),
        (Call.STATE, Action.RETRY),
        (Call.DESCRIBE, Action.RETRY),
        (Call.CONTENT, Action.RETRY),
        (Call.REMOVE, Action.RETRY),
        (Call.CANCEL, Action.RETRY),
        (Call.METADATA_WRITE, Action.RETRY),
    ],
)
def test_a_lost_answer_is_never_replayed_blindly(call: Call, action: Action) -> None:
    """What may have happened decides; what was never sent can be sent again."""
    assert decide(call, GraphResponse(lost=Lost.UNKNOWN)).action is action
    assert decide(call, GraphResponse(lost=Lost.NEVER_SENT)).action is Action.RETRY


@pytest.mark.parametrize(
    ("call", "status", "code", "error"),
    [
        (Call.RANGE, 413, "", MailboxLimitExceeded),
        (Call.LAST_RANGE, 400, "errormessagesizeexceeded", MailboxLimitExceeded),
        (Call.CREATE, 401, "", PermissionMissing),
        (Call.LIST, 404, "", ItemNotFound),
        (Call.CREATE, 404, "MailboxNotEnabledForRESTAPI", ItemNotFound),
        (Call.DESCRIBE, 404, "ErrorItemNotFound", AttachmentNotFound),
        (Call.REMOVE, 410, "", AttachmentNotFound),
        (Call.CONTENT, 404, "ErrorInvalidUser", ItemNotFound),
        (Call.REMOVE, 403, "ErrorAccessDenied", PermissionMissing),
    ],
)
def test_the_error_names_what_to_change(
    call: Call, status: int, code: str, error: type[Exception]
) -> None:
    """A refusal ends as the error whose sentence helps."""
    assert decide(call, GraphResponse(status=status, code=code)).error is error


@pytest.mark.parametrize(
    ("status", "code", "action"),
    [
        (412, "ConditionNotMet", Action.RESYNCHRONISE),
        (412, "LeaseIdMissing", Action.RETRY),
        (404, "BlobNotFound", Action.GIVE_UP),
        (400, "InvalidMetadata", Action.GIVE_UP),
        (403, "AuthorizationPermissionMismatch", Action.RETRY),
        (503, "ServerBusy", Action.RETRY),
    ],
)
def test_a_refused_metadata_write(status: int, code: str, action: Action) -> None:
    """The record is merged again, waits, or has nowhere to go."""
    assert decide(Call.METADATA_WRITE, GraphResponse(status=status, code=code)).action is action


def test_every_row_has_a_reason_and_is_reached() -> None:
    """No row says nothing, and none is hidden by those before it."""
    reached = set()
    codes = {code for row in TABLE for code in row.codes} | {""}
    for call in Call:
        for lost in Lost:
            reached.add(TABLE.index(decide(call, GraphResponse(lost=lost))))
        for status in range(200, 600):
            for code in codes:
                for says in {row.says for row in TABLE}:
                    answer = GraphResponse(status=status, code=code, message=says)
                    reached.add(TABLE.index(decide(call, answer)))
    assert reached == set(range(len(TABLE)))
    assert all(row.reason for row in TABLE)


@pytest.mark.parametrize(
    ("answer", "tries"),
    [
        (GraphResponse(lost=Lost.NO_IDENTITY), 8),
        (GraphResponse(status=404, code="ErrorItemNotFound"), 4),
        (GraphResponse(status=400), 3),
        (GraphResponse(status=429), None),
        (GraphResponse(status=503), None),
        (GraphResponse(status=412, code="ErrorIrresolvableConflict"), None),
        (GraphResponse(lost=Lost.NEVER_SENT), None),
    ],
)
def test_what_may_be_final_is_not_asked_for_ever(answer: GraphResponse, tries: int | None) -> None:
    """What waiting helps is tried until the deadline, what it may not help so often."""
    assert decide(Call.CREATE, answer).tries == tries
