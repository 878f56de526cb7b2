"""Ranges that are PUT to an upload URL: which are valid, and when their session ends."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.local.outlook import OutlookEmulator, Rules
from tests.unit.local.outlook_client import MAILBOX, Client, Clock, refusal

_GONE = (404, "ErrorItemNotFound")
_BAD_RANGE = (400, "InvalidContentRange")


def next_ranges(answer: requests.Response) -> Any:
    """The next expected ranges in a response."""
    assert answer.status_code == 200, answer.text
    return answer.json()["NextExpectedRanges"]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(min_size=1, max_size=200), range_bytes=st.integers(1, 200))
def test_any_content_in_any_ranges_arrives_whole(
    client: Client, content: bytes, range_bytes: int
) -> None:
    """For any split into ranges, the attachment has exactly the bytes of the file."""
    client.emulator.rules = Rules(minimum_session_bytes=1, window_bytes=10**9)
    item = client.emulator.add_item(MAILBOX, "message")
    assert client.upload(item, content, range_bytes).status_code == 201
    assert [each.content for each in client.emulator.attachments(MAILBOX, item)] == [content]


def test_range_with_a_bearer_is_refused(client: Client, message: str) -> None:
    """The upload URL is its own credential; a token beside it is 401."""
    url = client.session(message, 4)
    bearer = {"Authorization": f"Bearer {client.token}"}
    refused = [client.http.request(method, url, headers=bearer) for method in ("GET", "DELETE")]
    refused.append(client.put(url, b"data", 0, 4, **bearer))
    assert [refusal(each) for each in refused] == [(401, "InvalidAudienceForResource")] * 3
    assert client.put(url, b"data", 0, 4).status_code == 201


@pytest.mark.parametrize(
    "content_range",
    [
        "",
        "0-3/4",
        "bytes=0-3/4",
        "bytes 0-3",
        "bytes 0-3/*",
        "bytes 3-0/4",
        "bytes 0-4/4",
        "bytes 0-3/5",
        "bytes 0-2/4",
        "bytes  0-3/4",
    ],
)
def test_range_must_be_well_formed(client: Client, message: str, content_range: str) -> None:
    """`Content-Range` must be well formed, and match the declared size and the body."""
    url = client.session(message, 4)
    assert refusal(client.put(url, b"data", 0, 4, Content_Range=content_range)) == _BAD_RANGE


def test_range_needs_its_content_type(client: Client, message: str) -> None:
    """Another Content-Type than `application/octet-stream` is refused."""
    url = client.session(message, 4)
    assert refusal(client.put(url, b"data", 0, 4, Content_Type="text/plain")) == _BAD_RANGE


def test_range_needs_its_content_length(client: Client, message: str) -> None:
    """A chunked body is refused."""
    url = client.session(message, 4)
    headers = {"Content-Type": "application/octet-stream", "Content-Range": "bytes 0-3/4"}
    answer = client.http.put(url, data=iter([b"da", b"ta"]), headers=headers)
    assert refusal(answer) == _BAD_RANGE


def test_range_over_four_megabytes_is_refused(client: Client, message: str) -> None:
    """A PUT has at most 4,000,000 bytes."""
    url = client.session(message, 4_000_001)
    assert client.put(url, bytes(4_000_001), 0, 4_000_001).status_code == 413
    assert client.put(url, bytes(4_000_000), 0, 4_000_001).status_code == 200


def test_range_ahead_of_the_next_is_refused(client: Client, message: str) -> None:
    """A gap is 416, and the session still expects the same byte."""
    url = client.session(message, 9)
    client.put(url, b"abc", 0, 9)
    assert refusal(client.put(url, b"ghi", 6, 9)) == (416, "InvalidContentRange")
    assert next_ranges(client.http.get(url)) == ["3"]


@pytest.mark.parametrize("status", ["416", "400", "200"])
@pytest.mark.parametrize(("content", "start"), [(b"abc", 0), (b"bcd", 1)])
def test_repeated_range_keeps_nothing(
    client: Client, message: str, status: Any, content: bytes, start: int
) -> None:
    """A range with bytes received before is refused or ignored, never stored twice."""
    emulator = client.emulator
    emulator.rules = replace(emulator.rules, repeated_range=status)
    url = client.session(message, 9)
    client.put(url, b"abc", 0, 9)
    assert client.put(url, content, start, 9).status_code == int(status)
    assert next_ranges(client.http.get(url)) == ["3"]
    assert client.put(url, b"defghi", 3, 9).status_code == 201
    assert emulator.attachments(MAILBOX, message)[0].content == b"abcdefghi"


@pytest.mark.parametrize(
    ("form", "expected"), [("2097152", "3"), ("2097152-", "3-"), ("2097152-4194303", "3-8")]
)
def test_rules_set_the_form_of_the_next_ranges(
    emulator: OutlookEmulator, client: Client, message: str, form: Any, expected: str
) -> None:
    """The case of the key and the form of the range."""
    emulator.rules = replace(
        emulator.rules, next_range_form=form, next_ranges_key="nextExpectedRanges"
    )
    answer = client.put(client.session(message, 9), b"abc", 0, 9)
    assert answer.json()["nextExpectedRanges"] == [expected]


def test_expiry_stays_what_it_was(client: Client, message: str, clock: Clock) -> None:
    """A range does not extend its session."""
    created = client.create(message, 9).json()
    clock.advance(600)
    progress = client.put(created["uploadUrl"], b"abc", 0, 9).json()
    assert progress["ExpirationDateTime"] == created["expirationDateTime"]
    assert created["expirationDateTime"] == "2026-01-05T10:00:00.0000000Z"


def test_expired_session_is_gone(client: Client, message: str, clock: Clock) -> None:
    """An hour after its creation a session accepts nothing any more."""
    url = client.session(message, 9)
    clock.advance(3600)
    assert refusal(client.put(url, b"abc", 0, 9)) == _GONE
    assert client.emulator.open_sessions() == []


def test_finished_session_is_gone(client: Client, message: str) -> None:
    """The last range sent again attaches nothing."""
    url = client.session(message, 3)
    assert client.put(url, b"abc", 0, 3).status_code == 201
    assert refusal(client.put(url, b"abc", 0, 3)) == _GONE
    assert len(client.emulator.attachments(MAILBOX, message)) == 1


def test_cancelled_session_is_gone(client: Client, message: str) -> None:
    """A cancel ends the session, once."""
    url = client.session(message, 9)
    assert [each.target for each in client.emulator.open_sessions()] == [
        url.removeprefix(client.emulator.url)
    ]
    assert client.http.delete(url).status_code == 204
    assert refusal(client.http.delete(url)) == _GONE
    assert refusal(client.put(url, b"abc", 0, 9)) == _GONE
    assert client.emulator.open_sessions() == []


def test_upload_url_is_not_to_be_changed(client: Client, message: str) -> None:
    """Another token, another case or one more parameter is 404."""
    url = client.session(message, 9)
    for changed in (url[:-1], url.replace("Users(", "users("), url + "&a=b", url.split("?")[0]):
        assert refusal(client.put(changed, b"abc", 0, 9)) == _GONE


@pytest.mark.parametrize("state", ["answered", "405"])
def test_state_of_a_session_can_be_requested_or_not(
    emulator: OutlookEmulator, client: Client, message: str, state: Any
) -> None:
    """Whether the upload URL supports GET is a rule."""
    emulator.rules = replace(emulator.rules, session_state=state)
    answer = client.http.get(client.session(message, 9))
    assert answer.status_code == (200 if state == "answered" else 405)


def test_upload_url_refuses_post(client: Client, message: str) -> None:
    """It supports only PUT, GET and DELETE."""
    assert client.http.post(client.session(message, 9)).status_code == 405


def test_two_sessions_with_bytes_conflict(client: Client, message: str) -> None:
    """The second writer of an item is refused until the first session has ended."""
    first, second = client.session(message, 6), client.session(message, 6)
    client.put(first, b"abc", 0, 6)
    answer = client.put(second, b"abc", 0, 6)
    assert refusal(answer) == (412, "ErrorIrresolvableConflict")
    client.http.delete(first)
    assert client.put(second, b"abc", 0, 6).status_code == 200


def test_sessions_on_two_items_do_not_conflict(client: Client, message: str, event: str) -> None:
    """Each item has its own writer."""
    for url in (client.session(message, 6), client.session(event, 6, "event")):
        assert client.put(url, b"abc", 0, 6).status_code == 200


def test_mailbox_limit_shows_once_it_is_exceeded(
    emulator: OutlookEmulator, client: Client, message: str
) -> None:
    """The administrator's limit is for the whole message, and shows during the upload."""
    emulator.rules = replace(emulator.rules, mailbox_limit_bytes=10)
    client.small(message, b"1234")
    url = client.session(message, 9)
    assert client.put(url, b"abc", 0, 9).status_code == 200
    answer = client.put(url, b"defg", 3, 9)
    assert refusal(answer) == (413, "ErrorMessageSizeExceeded")
    assert refusal(client.small(message, b"1234567")) == (413, "ErrorMessageSizeExceeded")


def test_late_commit_shows_late(
    emulator: OutlookEmulator, client: Client, message: str, clock: Clock
) -> None:
    """A file can be accepted long before it is in a listing."""
    emulator.rules = replace(emulator.rules, commit_visible_after=20)
    location = client.upload(message, b"abc", 3, name="late").headers["Location"]
    clock.advance(19.9)
    assert list(client.names(message)) == []
    clock.advance(0.1)
    assert list(client.names(message)) == ["late"]
    assert emulator.attachments(MAILBOX, message)[0].id in location


def test_a_range_can_take_time_by_its_bytes() -> None:
    """A fixed time and that for its bytes; no time by default."""
    assert Rules().response_due(4_000_000, arrived=10, whole=11) == 11
    slow = Rules(range_seconds=0.05, bytes_per_second=40_000_000)
    assert slow.response_due(4_000_000, arrived=10, whole=10.01) == pytest.approx(10.15)
    assert slow.response_due(4_000_000, arrived=10, whole=10.2) == pytest.approx(10.25)


def test_a_slow_range_does_not_delay_other_requests(
    emulator: OutlookEmulator, client: Client, message: str
) -> None:
    """Other requests get their responses meanwhile, and the emulator can stop."""
    url = client.session(message, 3)
    emulator.rules = replace(emulator.rules, range_seconds=60)
    with ThreadPoolExecutor(1) as thread:
        slow = thread.submit(client.put, url, b"abc", 0, 3)
        while emulator.requests[-1].kind != "last_range":
            time.sleep(0.001)
        assert list(client.names(message)) == []
        (put,) = [each for each in emulator.requests if each.kind == "last_range"]
        assert put.ended_at is None
        emulator.stop()
        slow.exception()
