from collections.abc import Mapping

import pytest
from requests.structures import CaseInsensitiveDict

from shared.outlook.graph_response import (
    MAX_LOCATION,
    GraphResponse,
    NoResponse,
    parse_response,
    retry_after,
)

ID = "AAMkADI5MAAIT3drCAAABEgAQANAqbAe7qaROhYdTnUQwXm0="


def parsed(status: int, content: bytes = b"", **headers: str) -> GraphResponse:
    named: Mapping[str, str] = CaseInsensitiveDict(
        {name.replace("_", "-"): value for name, value in headers.items()}
    )
    return parse_response(status, named, content)


@pytest.mark.parametrize(
    "location",
    [
        f"https://outlook.office.com/api/v2.0/Users('u@t')/Messages('M=')/Attachments('{ID}')",
        f"https://outlook.office.com/api/gv1.0/users('u@t')/messages('M=')/attachments('{ID}')",
        "https://outlook.office.com/api/v2.0/Users('u')/Events('E')/Attachments('"
        "AAMkADI5MAAIT3drCAAABEgAQANAqbAe7qaROhYdTnUQwXm0%3D')",
        f"https://outlook.office.com/Users%28%27u%27%29/Attachments(%27{ID}%27)?x=1",
        f"/api/v2.0/Messages('Attachments(x)')/Attachments('{ID}')",
    ],
)
def test_the_id_is_found_in_every_form_of_location(location: str) -> None:
    """Either case, either encoding, with or without a host."""
    assert parsed(201, Location=location).attachment_id == ID


@pytest.mark.parametrize("location", ["", "https://outlook.office.com/x", "Attachments('')"])
def test_a_location_without_an_id_proves_nothing(location: str) -> None:
    """There is no id."""
    assert parsed(201, Location=location).attachment_id is None


def test_a_graph_error_is_read() -> None:
    """The response has code, message and request id of a refusal."""
    read = parsed(
        403, b'{"error": {"code": "ErrorAccessDenied", "message": "Denied."}}', request_id="r-1"
    )
    assert (read.status, read.code, read.message, read.request_id) == (
        403,
        "ErrorAccessDenied",
        "Denied.",
        "r-1",
    )


@pytest.mark.parametrize("text", ["https://outlook.office.com/?authtoken=x", "a b", "r" * 65])
def test_an_invalid_request_id_is_dropped(text: str) -> None:
    """Logs and traces show it, so other text must not get there."""
    assert parsed(403, request_id=text).request_id == ""


@pytest.mark.parametrize("content", [b'{"uploadUrl": "https://', b"<html>", b"[1]", b"\xff\xfe"])
def test_an_unreadable_success_is_a_lost_response(content: bytes) -> None:
    """The outcome of a truncated or non-JSON 2xx is unknown."""
    assert parsed(200, content).no_response is NoResponse.UNKNOWN


def test_an_answer_of_300_is_no_success() -> None:
    """Its text need not be JSON."""
    assert parsed(300, b"<html>") == GraphResponse(status=300)
    assert parsed(299, b"<html>").no_response is NoResponse.UNKNOWN


def test_an_error_without_code_and_message_has_none() -> None:
    """Both are empty."""
    response = parsed(400, b'{"error": {"code": null}}')
    assert (response.code, response.message) == ("", "")


def test_an_unreadable_refusal_is_still_a_refusal() -> None:
    """The status of a proxy's HTML page is enough."""
    assert parsed(502, b"<html>Bad Gateway</html>").status == 502


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        (None, None, None),
        ("7", None, 7.0),
        ("2.128", None, 2.128),
        (" 3 ", None, 3.0),
        ("0", None, 0.0),
        ("-5", None, None),
        ("soon", None, None),
        ("1e9", None, None),
        ("Sun, 22 Nov 2026 10:00:30 GMT", "Sun, 22 Nov 2026 10:00:00 GMT", 30.0),
        ("Sun, 22 Nov 2026 09:00:00 GMT", "Sun, 22 Nov 2026 10:00:00 GMT", 0.0),
        ("Sun, 22 Nov 2026 10:00:30 -0000", "Sun, 22 Nov 2026 12:00:00 +0200", 30.0),
        ("Mon, 23 Nov 2026 10:00:01 GMT", "Sun, 22 Nov 2026 10:00:00 GMT", 86_400.0),
        ("86401", None, 86_400.0),
        ("Sun, 22 Nov 2020 10:00:00 GMT", None, 0.0),
        ("\u0663", None, None),
    ],
)
def test_retry_after_in_every_form(
    value: str | None, date: str | None, seconds: float | None
) -> None:
    """Seconds, fractions and dates; a date is relative to the server's own clock."""
    assert retry_after(value, date) == seconds


def test_a_location_without_end_names_no_attachment() -> None:
    """It is not searched; one that is long for Outlook is."""
    place = "https://outlook.office.com/api/v2.0/Users('u')/Messages('m')/Attachments('A1')"
    assert GraphResponse(201, location=f"{place}?{'x' * 4_000}").attachment_id == "A1"
    for end in ("x" * MAX_LOCATION, "Attachments('" * 5_000):
        assert GraphResponse(201, location=f"{place}?{end}").attachment_id is None


def test_a_response_brings_the_clock_that_its_retry_after_is_relative_to() -> None:
    """Its ``Date``."""
    until, date = "Sun, 22 Nov 2026 10:00:30 GMT", "Sun, 22 Nov 2026 10:00:00 GMT"
    assert parsed(429, Retry_After=until, Date=date).retry_after == 30.0
