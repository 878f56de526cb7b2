import pytest

from shared.errors import GraphUnavailable
from shared.outlook.graph_response import GraphResponse, NoResponse
from shared.transfer.messages import error_of_response, failure_of_response
from shared.transfer.retry_policy import decide
from shared.transfer.retry_table import Call
from tests.support.jobs import job


@pytest.mark.parametrize(
    ("call", "response", "code", "part"),
    [
        (
            Call.CREATE,
            GraphResponse(403, code="ErrorAccessDenied"),
            "PermissionMissing",
            "Mail.ReadWrite",
        ),
        (Call.RANGE, GraphResponse(413), "MailboxLimitExceeded", "administrator can raise"),
        (Call.LIST, GraphResponse(404, code="ErrorItemNotFound"), "ItemNotFound", "an id changes"),
        (Call.LIST, GraphResponse(404, code="ErrorInvalidUser"), "ItemNotFound", "no mailbox"),
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
    call: Call, response: GraphResponse, code: str, part: str
) -> None:
    """Code, the server's error, and what helps."""
    failure = failure_of_response(decide(call, response), response, job())
    assert failure.code == code
    assert part in failure.message


def test_a_quoted_message_is_one_line() -> None:
    """What Graph says cannot make an entry of the log that is not the app's."""
    response = GraphResponse(400, code="Odd\r\n", message="Bad\ntransfer x\u2028ended: attached")
    failure = failure_of_response(decide(Call.RANGE, response), response, job())
    assert len(failure.message.splitlines()) == 1


def test_a_quoted_url_is_redacted() -> None:
    """No URL in an error message reaches the record."""
    response = GraphResponse(400, message="Bad https://outlook.office.com/x?authtoken=canary here")
    failure = failure_of_response(decide(Call.RANGE, response), response, job())
    assert "canary" not in failure.message
    assert "Bad <secret> here" in failure.message


@pytest.mark.parametrize(
    ("response", "code", "part"),
    [
        (GraphResponse(403, code="ErrorAccessDenied"), "PermissionMissing", "Mail.ReadWrite"),
        (
            GraphResponse(404, code="ErrorItemNotFound"),
            "AttachmentNotFound",
            "request a new transfer",
        ),
        (GraphResponse(404, code="ErrorInvalidUser"), "ItemNotFound", "Check mailbox"),
        (
            GraphResponse(400, code="BadRequest", message="Why https://x/?authtoken=canary"),
            "GraphRefused",
            "BadRequest",
        ),
        (
            GraphResponse(400, code="Odd", message="Why https://x/?authtoken=canary"),
            "GraphUnavailable",
            "Odd",
        ),
        (GraphResponse(413), "GraphUnavailable", "413"),
    ],
)
def test_a_caller_reads_what_to_change(response: GraphResponse, code: str, part: str) -> None:
    """The error is about the attachment, not about a file to upload."""
    error = error_of_response(decide(Call.DESCRIBE, response), response, job().item)
    assert error.code == code
    assert part in error.sentence
    assert "canary" not in error.sentence


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [(None, 5), (0.0, 1), (0.2, 1), (1.0, 1), (2.128, 3), (600.0, 600)]
)
def test_a_caller_gets_a_retry_after(retry_after: float | None, seconds: int) -> None:
    """Whole seconds, at least one, never fewer than Graph's own."""
    response = GraphResponse(429, retry_after=retry_after)
    error = error_of_response(decide(Call.REMOVE, response), response, job().item)
    assert isinstance(error, GraphUnavailable)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    "quoted",
    [
        "The token 'Bearer eyJ0eXAi.eyJhdWQi.c2lnbmF0' is for another audience.",
        "eyJ0eXAi.eyJhdWQi.c2lnbmF0 is for another audience.",
        "/api/v2.0/Users('a')/AttachmentSessions('b')?token=c2lnbmF0",
        "/sessions?AuthToken=c2lnbmF0&x=1",
    ],
)
def test_a_quoted_token_is_redacted(quoted: str) -> None:
    """Servers repeat what they refuse, with or without the URL around it."""
    response = GraphResponse(status=401, code="InvalidAudience", message=quoted)
    failure = failure_of_response(decide(Call.CREATE, response), response, job())
    assert "c2lnbmF0" not in failure.message
    assert "InvalidAudience" in failure.message
