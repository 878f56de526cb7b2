import pytest

from shared.errors import GraphUnavailable
from shared.outlook.graph_response import GraphResponse, NoResponse
from shared.transfer.messages import error_of_response, failure_of_response
from shared.transfer.retry_policy import decide
from shared.transfer.retry_table import Call
from tests.unit.transfer.workflow.test_state_machine import job


@pytest.mark.parametrize(
    ("call", "answer", "code", "says"),
    [
        (
            Call.CREATE,
            GraphResponse(403, code="ErrorAccessDenied"),
            "PermissionMissing",
            "Mail.ReadWrite",
        ),
        (Call.RANGE, GraphResponse(413), "MailboxLimitExceeded", "administrator can raise"),
        (Call.LIST, GraphResponse(404, code="ErrorItemNotFound"), "ItemNotFound", "an id changes"),
        (Call.CREATE, GraphResponse(405), "UploadSessionsUnavailable", "under 3 MB"),
        (
            Call.CREATE,
            GraphResponse(400, code="Odd", message="What?"),
            "GraphRefused",
            "400 Odd: What?",
        ),
        (Call.CREATE, GraphResponse(503, request_id="r-1"), "GraphRefused", "request-id r-1"),
        (
            Call.RANGE,
            GraphResponse(no_response=NoResponse.UNKNOWN),
            "GraphRefused",
            "the response was lost",
        ),
    ],
)
def test_a_refusal_says_what_to_change(
    call: Call, answer: GraphResponse, code: str, says: str
) -> None:
    """Code, the far side's own words, and what helps."""
    told = failure_of_response(decide(call, answer), answer, job())
    assert told.code == code
    assert says in told.message


def test_a_quoted_url_is_left_out() -> None:
    """Whatever Outlook quotes in its message, no URL reaches the record."""
    answer = GraphResponse(400, message="Bad https://outlook.office.com/x?authtoken=canary here")
    told = failure_of_response(decide(Call.RANGE, answer), answer, job())
    assert "canary" not in told.message
    assert "Bad <secret> here" in told.message


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (GraphResponse(403, code="ErrorAccessDenied"), "PermissionMissing", "Mail.ReadWrite"),
        (
            GraphResponse(404, code="ErrorItemNotFound"),
            "AttachmentNotFound",
            "request a new transfer",
        ),
        (GraphResponse(404, code="ErrorInvalidUser"), "ItemNotFound", "Check mailbox"),
        (
            GraphResponse(400, code="Odd", message="Why https://x/?authtoken=canary"),
            "GraphRefused",
            "Odd",
        ),
        (GraphResponse(413), "GraphRefused", "413"),
    ],
)
def test_somebody_who_waits_is_told_what_to_change(
    answer: GraphResponse, code: str, says: str
) -> None:
    """A refusal about an attachment speaks of it, and of no file that could be uploaded."""
    error = error_of_response(decide(Call.DESCRIBE, answer), answer, job().item)
    assert error.code == code
    assert says in error.sentence
    assert "canary" not in error.sentence


@pytest.mark.parametrize(
    ("asked", "told"), [(None, 5), (0.0, 1), (0.2, 1), (1.0, 1), (2.128, 3), (600.0, 600)]
)
def test_somebody_who_waits_is_told_how_long(asked: float | None, told: int) -> None:
    """Whole seconds, at least one, never fewer than Graph asked for."""
    answer = GraphResponse(429, retry_after=asked)
    error = error_of_response(decide(Call.REMOVE, answer), answer, job().item)
    assert isinstance(error, GraphUnavailable)
    assert error.retry_after == told


@pytest.mark.parametrize(
    "quoted",
    [
        "The token 'Bearer eyJ0eXAi.eyJhdWQi.c2lnbmF0' is for another audience.",
        "eyJ0eXAi.eyJhdWQi.c2lnbmF0 is for another audience.",
        "/api/v2.0/Users('a')/AttachmentSessions('b')?token=c2lnbmF0",
        "/sessions?AuthToken=c2lnbmF0&x=1",
    ],
)
def test_a_quoted_token_is_left_out(quoted: str) -> None:
    """Far sides repeat what they refuse, with or without the URL around it."""
    answer = GraphResponse(status=401, code="InvalidAudience", message=quoted)
    told = failure_of_response(decide(Call.CREATE, answer), answer, job())
    assert "c2lnbmF0" not in told.message
    assert "InvalidAudience" in told.message
