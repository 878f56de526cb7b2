"""Fields of requests that are taken, and those that are refused."""

import pytest

from shared.errors import InvalidRequest
from shared.transfer.service.requests import AttachRequest

BODY = {"blob": "a.pdf", "mailbox": "a@contoso.com", "messageId": "M="}


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/plain; charset=utf-8",
        "text/plain;charset=utf-8",
        'multipart/related; boundary="a b?"; type=x',
        "application/vnd.ms-excel.sheet.macroEnabled.12",
    ],
)
def test_a_content_type_may_have_parameters(content_type: str) -> None:
    """As in a header of HTTP or of a mail."""
    assert AttachRequest.read({**BODY, "contentType": content_type}).content_type == content_type


@pytest.mark.parametrize(
    "content_type",
    [
        "text",
        "text/",
        "text/plain; charset",
        "text/plain; charset=utf-8\r\nX-Evil: 1",
        'text/plain; x="a\r\nb"',
        'text/plain; x="a',
        "text/plain; charset=utf-8" + " " * 255,
    ],
)
def test_what_is_no_content_type_is_refused(content_type: str) -> None:
    """A half parameter, a line break, or more than 255 characters."""
    with pytest.raises(InvalidRequest):
        AttachRequest.read({**BODY, "contentType": content_type})


def test_a_name_that_is_no_unicode_is_refused() -> None:
    """No blob can have it."""
    with pytest.raises(InvalidRequest, match="details"):
        AttachRequest.read({**BODY, "blob": "a\ud800"})


@pytest.mark.parametrize("body", [[], "a", 3, None, [BODY]])
def test_a_body_that_is_no_object_is_refused_in_plain_words(body: object) -> None:
    """No class of the app is named."""
    with pytest.raises(InvalidRequest) as caught:
        AttachRequest.read(body)
    assert [each.message for each in caught.value.details] == ["should be a JSON object"]
