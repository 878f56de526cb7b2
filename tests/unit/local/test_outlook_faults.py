"""Misbehaviours: what the client sees, and what the service stores nevertheless."""

from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from infra.local.outlook import (
    Break,
    Fault,
    Misbehaviour,
    catalogue,
)
from tests.unit.local.outlook_client import MAILBOX, Client, Clock, refusal

_BIG = bytes(3_000_000)


def on(kind: Any, misbehaviour: Misbehaviour, **when: Any) -> Fault:
    """A fault for the first request of a kind."""
    return Fault(misbehaviour=misbehaviour, kind=kind, **when)


def causes(error: BaseException | None) -> set[str]:
    """The names of an error and of all its causes."""
    names = set()
    while error is not None:
        names.add(type(error).__name__)
        error = error.__cause__ or error.__context__
    return names


@pytest.mark.parametrize("end", ["hang", "close", "reset"])
@pytest.mark.parametrize("sent", ["nothing", "part"])
@pytest.mark.parametrize("read", ["nothing", "part", "whole"])
def test_broken_connection_fails_the_client(
    client: Client, message: str, read: Any, sent: Any, end: Any
) -> None:
    """In no case is there a response; only a request that was read whole is processed."""
    breakage = Break(read=read, sent=sent, end=end, hang_seconds=5)
    broken = on("range", Misbehaviour(name="broken", breakage=breakage))
    client.emulator.faults.add(broken)
    url = client.session(message, len(_BIG) + 1)
    with pytest.raises(requests.RequestException):
        client.http.put(
            url,
            data=_BIG,
            timeout=0.3,
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Range": f"bytes 0-{len(_BIG) - 1}/{len(_BIG) + 1}",
            },
        )
    received = client.http.get(url).json()["NextExpectedRanges"]
    assert received == [str(len(_BIG) if read == "whole" else 0)]
    assert client.emulator.faults.fired == [broken]
    assert client.emulator.requests[2].status is None


@pytest.mark.parametrize(
    ("misbehaviour", "cause"),
    [
        (catalogue.lost_answer("close"), "RemoteDisconnected"),
        (catalogue.lost_answer("reset"), "ConnectionResetError"),
        (catalogue.lost_answer("hang", hang_seconds=5), "ReadTimeout"),
        (catalogue.cut_answer("close"), "IncompleteRead"),
        (catalogue.cut_answer("reset"), "ConnectionResetError"),
        (catalogue.closed_unread(), "RemoteDisconnected"),
        (catalogue.hang(5), "ReadTimeout"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_each_broken_connection_has_its_own_error(
    client: Client, message: str, misbehaviour: Misbehaviour, cause: str
) -> None:
    """A client can distinguish a close, a reset and silence."""
    client.emulator.faults.add(on("get_item", misbehaviour))
    with pytest.raises(requests.RequestException) as caught:
        client.graph("GET", client.item_url(message), timeout=0.3)
    assert cause in causes(caught.value)
    assert client.graph("GET", client.item_url(message)).status_code == 200


def test_hanging_ends_with_the_emulator(client: Client, message: str) -> None:
    """A stop does not wait for hanging connections."""
    client.emulator.faults.add(on("get_item", catalogue.hang(3600)))
    with pytest.raises(requests.Timeout):
        client.graph("GET", client.item_url(message), timeout=0.1)
    client.emulator.stop()


def test_abandoned_request_is_no_longer_in_progress(client: Client, message: str) -> None:
    """A client that times out no longer counts towards the limit."""
    client.emulator.faults.add(on("get_item", catalogue.hang(3600), times=8))
    for _ in range(8):
        with pytest.raises(requests.Timeout):
            client.graph("GET", client.item_url(message), timeout=0.1)
    assert max(each.concurrency for each in client.emulator.requests) <= 2
    assert client.graph("GET", client.item_url(message)).status_code == 200


def test_cut_response_to_the_last_range_loses_its_location(client: Client, message: str) -> None:
    """Half of the headers is a 201 that proves nothing, although the file is attached."""
    client.emulator.faults.add(on("last_range", catalogue.cut_answer()))
    answer = client.upload(message, b"abc", 3)
    assert answer.status_code == 201
    assert "Attachments(" not in answer.headers.get("Location", "")
    assert len(client.emulator.attachments(MAILBOX, message)) == 1


def test_refusal_stores_nothing(client: Client, message: str) -> None:
    """A refused request does not change the session."""
    client.emulator.faults.add(on("range", catalogue.throttled("2.128")))
    url = client.session(message, 9)
    answer = client.put(url, b"abc", 0, 9)
    assert refusal(answer) == (429, "ApplicationThrottled")
    assert answer.headers["Retry-After"] == "2.128"
    assert client.http.get(url).json()["NextExpectedRanges"] == ["0"]


def test_retry_after_can_be_a_date(client: Client, message: str, clock: Clock) -> None:
    """The date is computed from the clock of the service."""
    client.emulator.faults.add(on("get_item", catalogue.throttled_until(90, status=503)))
    answer = client.graph("GET", client.item_url(message))
    assert answer.status_code == 503
    until = parsedate_to_datetime(answer.headers["Retry-After"])
    assert (until - clock.now).total_seconds() == 90


def test_failure_after_acceptance_is_processed_nevertheless(client: Client, message: str) -> None:
    """The file can be attached despite a 504."""
    client.emulator.faults.add(on("small_post", catalogue.failed_after_acceptance(504)))
    assert client.small(message).status_code == 504
    assert len(client.emulator.attachments(MAILBOX, message)) == 1
    assert client.emulator.requests[-1].served_status == 201


def test_201_can_lack_its_location(client: Client, message: str) -> None:
    """The file is attached, and the response does not have its id."""
    client.emulator.faults.add(on("last_range", catalogue.without_location()))
    answer = client.upload(message, b"abc", 3)
    assert (answer.status_code, "Location" in answer.headers) == (201, False)


@pytest.mark.parametrize("misbehaviour", [catalogue.truncated_json(), catalogue.not_json()])
def test_body_can_be_invalid_json(client: Client, message: str, misbehaviour: Misbehaviour) -> None:
    """A 201 whose body cannot be read; the session exists."""
    client.emulator.faults.add(on("create", misbehaviour))
    answer = client.create(message, 9)
    assert answer.status_code == 201
    with pytest.raises(requests.JSONDecodeError):
        answer.json()
    assert len(client.emulator.open_sessions()) == 1


@pytest.mark.parametrize(
    ("misbehaviour", "expected"),
    [
        (catalogue.next_ranges_missing(), None),
        (catalogue.next_ranges_replaced("-5", "abc"), ["-5", "abc"]),
        (catalogue.next_ranges_replaced(), []),
        (catalogue.next_ranges_off(-2), ["1-"]),
        (catalogue.next_ranges_off(2), ["5-"]),
        (catalogue.next_ranges_plural(2), ["5-", "3-4"]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_next_ranges_can_be_wrong(
    client: Client, message: str, misbehaviour: Misbehaviour, expected: list[str] | None
) -> None:
    """The response changes, the received bytes do not."""
    client.emulator.faults.add(on("range", misbehaviour))
    url = client.session(message, 9)
    assert client.put(url, b"abc", 0, 9).json().get("NextExpectedRanges") == expected
    assert client.http.get(url).json()["NextExpectedRanges"] == ["3"]


def test_range_can_be_stored_in_part(client: Client, message: str) -> None:
    """Half of a last range is progress, and the rest can follow."""
    client.emulator.faults.add(on("last_range", catalogue.kept_in_part(0.5)))
    url = client.session(message, 6)
    assert client.put(url, b"abcdef", 0, 6).json()["NextExpectedRanges"] == ["3"]
    assert client.put(url, b"def", 3, 6).status_code == 201
    assert client.emulator.attachments(MAILBOX, message)[0].content == b"abcdef"


def test_lost_last_response_can_commit_late(client: Client, message: str, clock: Clock) -> None:
    """The response is lost, the session has ended, and the file is visible later."""
    client.emulator.faults.add(on("last_range", catalogue.commits_late(20)))
    url = client.session(message, 3, name="late")
    with pytest.raises(requests.ConnectionError):
        client.put(url, b"abc", 0, 3)
    assert client.http.delete(url).status_code == 404
    assert list(client.names(message)) == []
    clock.advance(20)
    assert list(client.names(message)) == ["late"]


def test_upload_url_can_be_another(client: Client, message: str) -> None:
    """A session can name a hostile host."""
    client.emulator.faults.add(on("create", catalogue.upload_url("https://evil.example/x")))
    assert client.create(message, 9).json()["uploadUrl"] == "https://evil.example/x"


def test_stages_compose(client: Client, message: str) -> None:
    """A refusal can be cut like any other response."""
    cut = catalogue.cut_answer("close").breakage
    fault = on("get_item", replace(catalogue.throttled(), breakage=cut))
    client.emulator.faults.add(fault)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.graph("GET", client.item_url(message))
    assert client.emulator.requests[-1].served_status is None
