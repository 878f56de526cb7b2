"""Limits per mailbox: the arithmetic, and the responses over HTTP."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import requests
from hypothesis import given
from hypothesis import strategies as st

from infra.local.outlook import Arrival, Fault, OutlookEmulator
from infra.local.outlook.faults.catalogue import hang
from infra.local.outlook.state.throttle import Limits, Throttle
from tests.unit.local.outlook_client import MAILBOX, Client, Clock, refusal

_THROTTLED = (429, "ApplicationThrottled")


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 200)), max_size=30))
def test_window_never_accepts_more_than_its_limit(moves: list[tuple[int, int]]) -> None:
    """No window of 100 s has more than 150 accepted bytes, and the reported wait is enough."""
    clock = Clock()
    throttle = Throttle(Limits(4, 150, 100), clock)
    accepted = []
    for seconds, size in moves:
        clock.advance(seconds)
        wait = throttle.charge("a", size)
        if wait is None:
            accepted.append((clock.now, size))
        elif size <= 150:
            clock.advance(wait)
            assert throttle.charge("a", size) is None
            accepted.append((clock.now, size))
    for at, _ in accepted:
        window = [size for then, size in accepted if 0 <= (at - then).total_seconds() < 100]
        assert sum(window) <= 150


def test_bytes_over_the_window_are_refused(
    emulator: OutlookEmulator, client: Client, message: str, clock: Clock
) -> None:
    """429 has the seconds after which the bytes are within the limit."""
    url = client.session(message, 200)
    emulator.rules = replace(emulator.rules, window_bytes=180, window_seconds=300)
    clock.advance(300)
    assert client.put(url, bytes(100), 0, 200).status_code == 200
    clock.advance(99.5)
    answer = client.put(url, bytes(100), 100, 200)
    assert refusal(answer) == _THROTTLED
    assert "IncomingBytes" in answer.json()["error"]["message"]
    # The first range is out of the window at 300 s, but the refused one counts as well.
    assert answer.headers["Retry-After"] == "300"
    clock.advance(300)
    assert client.put(url, bytes(100), 100, 200).status_code == 201


def test_each_mailbox_has_its_own_window(
    emulator: OutlookEmulator, client: Client, message: str
) -> None:
    """The bytes of one mailbox do not count for another."""
    throttle = Throttle(Limits(4, 100, 300), Clock())
    assert throttle.charge("a", 100) is None
    assert throttle.charge("b", 100) is None
    assert throttle.charge("a", 1) == 300


def hanging_requests(emulator: OutlookEmulator, url: str, number: int) -> ThreadPoolExecutor:
    """So many requests, in progress until the emulator stops."""
    arrived = threading.Semaphore(0)
    plain = hang(30)

    class Hanging:
        def choose(self, arrival: Arrival) -> Fault | None:
            arrived.release()
            return Fault(misbehaviour=plain, index=arrival.index)

        def confirm(self, fault: Fault) -> None:
            pass

    def send() -> None:
        try:
            requests.get(url, timeout=30)
        except requests.ConnectionError:
            return

    emulator.random_faults = Hanging()
    pool = ThreadPoolExecutor(number)
    for _ in range(number):
        pool.submit(send)
    for _ in range(number):
        assert arrived.acquire(timeout=10)
    emulator.random_faults = None
    return pool


def test_fifth_concurrent_request_is_refused(
    emulator: OutlookEmulator, client: Client, message: str, event: str
) -> None:
    """Requests to Graph and to upload URLs count together, and only until they end."""
    url = client.session(message, 9)
    with hanging_requests(emulator, client.item_url(event, "event"), 4):
        answer = client.put(url, b"abc", 0, 9)
        assert refusal(answer) == _THROTTLED
        assert "MailboxConcurrency" in answer.json()["error"]["message"]
        assert int(answer.headers["Retry-After"]) >= 1
        assert emulator.requests[-1].concurrency == 5
        emulator.stop()
    emulator.start()
    assert client.put(url, b"abc", 0, 9).status_code == 200


def test_fourth_concurrent_request_is_processed(
    emulator: OutlookEmulator, client: Client, message: str
) -> None:
    """Four in progress are within the limit; requests to other mailboxes do not count."""
    emulator.add_mailbox("bob@contoso.com")
    with hanging_requests(emulator, client.item_url(message), 3):
        assert client.graph("GET", client.item_url(message)).status_code == 200
        assert emulator.requests[-1].concurrency == 4
        emulator.stop()
    assert emulator.attachments(MAILBOX, message) == []
