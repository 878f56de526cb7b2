import pytest

from shared.outlook.answers import Answer, Lost
from shared.transfer.decisions import Call, decide
from shared.transfer.refusals import failure
from tests.unit.transfer.test_attaching import job


@pytest.mark.parametrize(
    ("call", "answer", "code", "says"),
    [
        (Call.CREATE, Answer(403, code="ErrorAccessDenied"), "PermissionMissing", "Mail.ReadWrite"),
        (Call.RANGE, Answer(413), "MailboxLimitExceeded", "administrator can raise"),
        (Call.LIST, Answer(404, code="ErrorItemNotFound"), "ItemNotFound", "an id changes"),
        (Call.CREATE, Answer(405), "UploadSessionsUnavailable", "under 3 MB"),
        (Call.CREATE, Answer(400, code="Odd", message="What?"), "GraphRefused", "400 Odd: What?"),
        (Call.CREATE, Answer(503, request_id="r-1"), "GraphRefused", "request-id r-1"),
        (Call.RANGE, Answer(lost=Lost.UNKNOWN), "GraphRefused", "the answer was lost"),
    ],
)
def test_a_refusal_says_what_to_change(call: Call, answer: Answer, code: str, says: str) -> None:
    """Code, the far side's own words, and what helps."""
    told = failure(decide(call, answer), answer, job())
    assert told.code == code
    assert says in told.message


def test_a_quoted_url_is_left_out() -> None:
    """Whatever Outlook quotes in its message, no URL reaches the record."""
    answer = Answer(400, message="Bad https://outlook.office.com/x?authtoken=canary here")
    told = failure(decide(Call.RANGE, answer), answer, job())
    assert "canary" not in told.message
    assert "Bad <URL> here" in told.message
