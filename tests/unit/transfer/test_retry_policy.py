from dataclasses import replace

import pytest

from shared.errors import (
    AttachmentNotFound,
    ItemNotFound,
    MailboxLimitExceeded,
    OutcomeUnknown,
    PermissionMissing,
    StorageUnavailable,
)
from shared.outlook.graph_response import GraphResponse, NoResponse
from shared.storage.storage_errors import BlobChanged
from shared.transfer.retry_policy import MAX_RANGE_REFUSALS, RESPONSE_RULES, TABLE, decide
from shared.transfer.retry_table import Action, Call, StorageCall
from shared.transfer.storage_policy import (
    RECORD_WRITES,
    STORAGE_TABLE,
    decide_storage,
    is_retryable,
)

PUTS = (Call.RANGE, Call.LAST_RANGE)
GRAPH = (Call.LIST, Call.CREATE, Call.SMALL_POST)
AFTERWARDS = (Call.DESCRIBE, Call.CONTENT, Call.REMOVE)

# "Errors" in docs/protocol.md, line by line: calls, status, code, action.
OUTLOOK = tuple(call for call in Call if call not in {Call.COMPARE, Call.REACH, Call.STATE})
ATTACHING_CALLS = (Call.SMALL_POST, Call.LAST_RANGE)
HARMLESS = tuple(call for call in OUTLOOK if call not in ATTACHING_CALLS)
LINES: list[tuple[tuple[Call, ...], int, str, Action]] = [
    (
        (Call.CREATE,),
        400,
        "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize",
        Action.POST_INSTEAD,
    ),
    ((Call.SMALL_POST,), 413, "", Action.SESSION_INSTEAD),
    ((Call.LIST, Call.CREATE), 401, "InvalidAuthenticationToken", Action.GIVE_UP),
    ((Call.SMALL_POST,), 401, "InvalidAuthenticationToken", Action.RETRY),
    (ATTACHING_CALLS, 401, "", Action.RECONCILE),
    (GRAPH, 403, "ErrorAccessDenied", Action.GIVE_UP),
    ((Call.LIST, Call.CREATE), 403, "ErrorServerBusy", Action.RETRY),
    ((Call.LIST, Call.CREATE), 403, "", Action.RETRY),
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
    (HARMLESS, 409, "", Action.RETRY),
    (ATTACHING_CALLS, 409, "", Action.RECONCILE),
    ((*HARMLESS, *ATTACHING_CALLS), 412, "ErrorIrresolvableConflict", Action.RETRY),
    (HARMLESS, 423, "", Action.RETRY),
    (ATTACHING_CALLS, 423, "Locked", Action.RECONCILE),
    ((Call.CREATE, Call.SMALL_POST, *PUTS), 507, "", Action.GIVE_UP),
    ((Call.LIST, Call.REMOVE), 507, "", Action.RETRY),
    (OUTLOOK, 400, "ErrorMessageSizeExceeded", Action.GIVE_UP),
    ((Call.CREATE, *PUTS), 413, "ErrorAttachmentSizeLimitExceeded", Action.GIVE_UP),
    (OUTLOOK, 403, "ErrorQuotaExceeded", Action.GIVE_UP),
    (PUTS, 416, "", Action.RESYNCHRONISE),
    (PUTS, 400, "InvalidContentRange", Action.RESYNCHRONISE),
    (OUTLOOK, 429, "ApplicationThrottled", Action.RETRY),
    (HARMLESS, 503, "", Action.RETRY),
    (HARMLESS, 509, "", Action.RETRY),
    (ATTACHING_CALLS, 429, "", Action.RECONCILE),
    (ATTACHING_CALLS, 503, "", Action.RECONCILE),
    (ATTACHING_CALLS, 408, "", Action.RECONCILE),
    (ATTACHING_CALLS, 520, "", Action.RECONCILE),
    (ATTACHING_CALLS, 418, "Teapot", Action.RECONCILE),
    ((Call.SMALL_POST,), 404, "", Action.RECONCILE),
    ((Call.SMALL_POST,), 404, "ErrorItemNotFound", Action.RETRY),
    ((Call.STATE,), 503, "", Action.RETRY),
    ((Call.STATE,), 405, "ErrorInvalidRequest", Action.SKIP),
    ((Call.RANGE,), 500, "", Action.RESYNCHRONISE),
    ((Call.LAST_RANGE, Call.SMALL_POST), 502, "", Action.RECONCILE),
    ((Call.CREATE, Call.LIST), 504, "", Action.RETRY),
    ((Call.LIST, Call.CREATE), 400, "", Action.RETRY),
    ((Call.SMALL_POST,), 400, "", Action.RECONCILE),
    ((Call.LIST, Call.CREATE), 400, "ErrorSomethingTransientError", Action.RETRY),
    ((Call.LIST, Call.CREATE), 400, "ErrorMailboxMoveInProgress", Action.RETRY),
    (GRAPH, 400, "ErrorInvalidRequest", Action.GIVE_UP),
    (AFTERWARDS, 401, "InvalidAuthenticationToken", Action.GIVE_UP),
    (AFTERWARDS, 403, "ErrorAccessDenied", Action.GIVE_UP),
    (AFTERWARDS, 404, "ErrorItemNotFound", Action.GIVE_UP),
    (AFTERWARDS, 404, "ErrorInvalidUser", Action.GIVE_UP),
    (AFTERWARDS, 410, "", Action.GIVE_UP),
    (AFTERWARDS, 500, "", Action.RETRY),
    (AFTERWARDS, 504, "", Action.RETRY),
    ((Call.LIST, Call.CREATE, *AFTERWARDS), 418, "Teapot", Action.RETRY),
    ((Call.LIST, Call.CREATE, *AFTERWARDS), 302, "", Action.RETRY),
    ((Call.RANGE,), 418, "Teapot", Action.RESYNCHRONISE),
    ((Call.RANGE,), 425, "", Action.RESYNCHRONISE),
    ((Call.CANCEL,), 418, "Teapot", Action.GIVE_UP),
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line[1]}-{line[2]}")
def test_each_response_has_its_action(
    line: tuple[tuple[Call, ...], int, str, Action],
) -> None:
    """The table follows the protocol."""
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
        (Call.FIND_ITEM, Action.RETRY),
        (Call.REACH, Action.RETRY),
    ],
)
def test_a_request_that_may_have_attached_is_not_repeated_blindly(
    call: Call, action: Action
) -> None:
    """What may have happened decides; what was not sent can be sent again."""
    assert decide(call, GraphResponse(no_response=NoResponse.UNKNOWN)).action is action
    assert decide(call, GraphResponse(no_response=NoResponse.NEVER_SENT)).action is Action.RETRY


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
    """A refusal becomes the error whose sentence helps."""
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
    """The record is merged again, written later, or given up."""
    error = StorageUnavailable("", status=status, storage_code=code)
    assert decide_storage(StorageCall.METADATA_WRITE, error).action is action
    assert RECORD_WRITES.is_outdated(error) is (action is Action.RESYNCHRONISE)
    assert RECORD_WRITES.is_refused(error, False) is (action is Action.GIVE_UP)


@pytest.mark.parametrize("code", ["LeaseIdMissing", "LeaseLost"])
def test_a_lease_without_an_end_is_not_waited_for(code: str) -> None:
    """Another failure of a leased blob is as it is for others."""
    error = StorageUnavailable("", status=412, storage_code=code)
    assert RECORD_WRITES.is_refused(error, True)
    assert not RECORD_WRITES.is_refused(error, False)
    busy = StorageUnavailable("", status=503, storage_code="ServerBusy")
    assert not RECORD_WRITES.is_refused(busy, True)


def test_a_metadata_write_without_a_response() -> None:
    """It is repeated; a typed change of the ETag is read again."""
    lost = StorageUnavailable("")
    assert decide_storage(StorageCall.METADATA_WRITE, lost).action is Action.RETRY
    changed = decide_storage(StorageCall.METADATA_WRITE, BlobChanged("x"))
    assert changed.action is Action.RESYNCHRONISE


@pytest.mark.parametrize(
    ("status", "retryable"), [(400, False), (None, True), (403, True), (409, True), (503, True)]
)
def test_a_caller_tries_again_unless_the_name_is_malformed(
    status: int | None, retryable: bool
) -> None:
    """HTTP callers get 503 or 400, Event Grid delivers again or not."""
    assert is_retryable(StorageUnavailable("", status=status)) is retryable


@pytest.mark.parametrize(
    ("status", "retry_after", "action"),
    [
        (200, None, Action.PROCEED),
        (503, 3.0, Action.RETRY),
        (404, 0.0, Action.RETRY),
        (503, None, Action.SKIP),
        (403, None, Action.SKIP),
        (404, None, Action.GIVE_UP),
        (410, None, Action.GIVE_UP),
    ],
)
def test_bytes_to_compare(status: int, retry_after: float | None, action: Action) -> None:
    """A Retry-After counts; bytes that cannot be read are skipped."""
    row = decide(Call.COMPARE, GraphResponse(status=status, retry_after=retry_after))
    assert row.action is action
    assert action is not Action.GIVE_UP or row.error is OutcomeUnknown
    lost = decide(Call.COMPARE, GraphResponse(no_response=NoResponse.UNKNOWN))
    assert lost.action is Action.SKIP


@pytest.mark.parametrize(
    ("status", "action"),
    [
        (200, Action.PROCEED),
        (403, Action.PROCEED),
        (401, Action.GIVE_UP),
        (429, Action.RETRY),
        (500, Action.RETRY),
        (599, Action.RETRY),
    ],
)
def test_graph_can_be_reached(status: int, action: Action) -> None:
    """Any response does that is no refused token and no failure."""
    assert decide(Call.REACH, GraphResponse(status=status)).action is action


@pytest.mark.parametrize("status", [401, 404, 410])
def test_a_session_that_is_gone_is_deleted(status: int) -> None:
    """There is nothing left to do."""
    assert decide(Call.CANCEL, GraphResponse(status=status)).action is Action.PROCEED


@pytest.mark.parametrize(("status"), [404, 410])
def test_a_missing_attachment_may_mean_a_missing_item(status: int) -> None:
    """The second request distinguishes them."""
    row = decide(Call.FIND_ITEM, GraphResponse(status=status))
    assert (row.action, row.error) == (Action.GIVE_UP, ItemNotFound)


@pytest.mark.parametrize("call", PUTS)
def test_a_complete_session_names_its_attachment(call: Call) -> None:
    """Only an id in ``Location`` proves that the file is attached."""
    named = GraphResponse(status=201, location="x/Attachments('AAMk=')")
    assert decide(call, named).action is Action.ATTACHED
    assert decide(call, GraphResponse(status=201)).action is Action.RECONCILE


@pytest.mark.parametrize(
    ("response", "tries", "resend"),
    [
        (GraphResponse(status=416), MAX_RANGE_REFUSALS, False),
        (GraphResponse(status=400, retry_after=0.0), MAX_RANGE_REFUSALS, False),
        (GraphResponse(status=502), None, True),
        (GraphResponse(no_response=NoResponse.UNKNOWN), None, True),
    ],
)
def test_a_range_is_resynchronised(
    response: GraphResponse, tries: int | None, resend: bool
) -> None:
    """A refused range says that the session lives; one that failed may have been accepted."""
    row = decide(Call.RANGE, response)
    assert (row.action, row.tries, row.resend) == (Action.RESYNCHRONISE, tries, resend)


@pytest.mark.parametrize("status", [400, 416, 500, 502, 504])
def test_a_range_that_has_to_wait_is_not_resynchronised(status: int) -> None:
    """No request is sent to the session before the Retry-After."""
    response = GraphResponse(status=status, retry_after=2.0)
    assert decide(Call.RANGE, response).action is Action.RETRY


def test_the_rules_of_the_http_layer_are_those_of_the_table() -> None:
    """A refused token gets one more try there; what counts as throttled waits here."""
    assert RESPONSE_RULES.token_refused == {401}
    for status in RESPONSE_RULES.throttled:
        row = decide(Call.CREATE, GraphResponse(status=status))
        assert (row.action, row.retry_after) == (Action.RETRY, 5.0)


def test_every_row_is_reached() -> None:
    """No row is hidden by those before it, and each has a reason."""
    reached = set()
    codes = {code for row in TABLE for code in row.codes} | {""}
    for call in Call:
        for reason in NoResponse:
            reached.add(TABLE.index(decide(call, GraphResponse(no_response=reason))))
        for status in range(200, 600):
            plain = GraphResponse(status=status)
            variants = [
                replace(plain, retry_after=1.0),
                replace(plain, location="Attachments('A')"),
                *(replace(plain, message=row.message_part) for row in TABLE if row.message_part),
                *(replace(plain, code=code) for code in codes),
            ]
            reached |= {TABLE.index(decide(call, each)) for each in variants}
    assert reached == set(range(len(TABLE)))
    assert all(row.reason for row in TABLE)
    assert all(row.reason for row in STORAGE_TABLE)


@pytest.mark.parametrize(
    ("response", "tries"),
    [
        (GraphResponse(no_response=NoResponse.NO_IDENTITY), 8),
        (GraphResponse(status=404, code="ErrorItemNotFound"), 4),
        (GraphResponse(status=400), 4),
        (GraphResponse(status=418), 4),
        (GraphResponse(status=403), 4),
        (GraphResponse(status=501), 4),
        (GraphResponse(status=520), None),
        (GraphResponse(status=429), None),
        (GraphResponse(status=503), None),
        (GraphResponse(status=412, code="ErrorIrresolvableConflict"), None),
        (GraphResponse(no_response=NoResponse.NEVER_SENT), None),
    ],
)
def test_what_may_be_permanent_is_not_retried_until_the_deadline(
    response: GraphResponse, tries: int | None
) -> None:
    """Each has a bound, unless waiting helps."""
    assert decide(Call.CREATE, response).tries == tries
