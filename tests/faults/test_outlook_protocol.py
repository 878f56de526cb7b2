"""Requests follow Outlook's rules: exact waits after Retry-After, one range at a time."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from infra.local.outlook import Fault, Kind, Misbehaviour, catalogue
from infra.local.outlook.rules import Rules
from tests.support.faults.retry_after import early_requests, retry_at
from tests.support.figures import ReportLine
from tests.support.in_memory.app import SMALL_RULES, InMemoryApp
from tests.support.virtual_app import MAILBOX

SEED = 6
R = 4_000
SIZE = 5 * R + 1
SKEWS = [timedelta(minutes=minutes) for minutes in (-5, 0, 5)]
SECONDS = ["0", "1", "30", "3599", "0.5", "2.128", "59.999"]
DATES = [1, 90, 3_599]

# What causes a request of this kind where a transfer without faults sends none.
BEFORE: dict[Kind, list[tuple[Kind, Misbehaviour]]] = {
    "session_state": [("range", catalogue.failed_after_acceptance(502))],
    "cancel": [("range", catalogue.session_gone(404))],
    "raw_content": [("last_range", catalogue.without_location())],
}
KINDS: list[Kind] = [
    *("list", "get_item", "small_post", "create", "range", "last_range"),
    *("session_state", "cancel", "raw_content"),
]


@contextmanager
def transferring(
    faults: list[Fault], skew: timedelta, rules: Rules = SMALL_RULES
) -> Iterator[tuple[InMemoryApp, str]]:
    """A finished transfer that had these faults, and its message."""
    # Longer than all waits together.
    minutes = 10_000
    app = InMemoryApp(
        rules=rules,
        skew=skew,
        range_bytes=R,
        ranges_per_activity=2,
        transfer_deadline_minutes=minutes,
    )
    try:
        # Not on a whole second: HTTP dates have no fractions.
        app.clock.advance(0.75)
        app.service.faults.add(*faults)
        item = app.add_message()
        content = random.Random(0).randbytes(SIZE)
        app.blobs.put("a.bin", content, None, {"mailbox": MAILBOX, "messageid": item})
        app.deliver("a.bin")
        app.finish()
        assert [each.content for each in app.attachments(item)] == [content]
        yield app, item
    finally:
        app.close()


def misbehaviours() -> list[Misbehaviour]:
    """Every form of Retry-After under every status that carries it."""
    statuses = (429, 503, 509)
    return [
        *(catalogue.throttled(form, status=status) for status in statuses for form in SECONDS),
        *(catalogue.throttled_until(date, status=status) for status in statuses for date in DATES),
    ]


@pytest.mark.parametrize("skew", SKEWS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_no_request_comes_before_retry_after_is_over(kind: Kind, skew: timedelta) -> None:
    """In seconds, fractions and dates, however the clocks differ, by the emulator's record."""
    before = [Fault(misbehaviour=each, kind=of) for of, each in BEFORE.get(kind, [])]
    for misbehaviour in misbehaviours():
        fault = Fault(misbehaviour=misbehaviour, kind=kind)
        with transferring([*before, fault], skew) as (app, _):
            assert not app.service.faults.unfired, misbehaviour.name
            assert not early_requests(app.service.recorder.requests), misbehaviour.name


@pytest.mark.parametrize("skew", SKEWS, ids=str)
def test_several_waits_in_a_row_are_all_respected(skew: timedelta, report_line: ReportLine) -> None:
    """A seeded third of all requests is throttled, each for a different time."""
    draw = random.Random(SEED)
    kinds: list[Kind] = ["list", "create", "range", "last_range", "cancel"]
    waited = 0
    early: list[str] = []
    for _ in range(40):
        faults = [
            Fault(misbehaviour=draw.choice(misbehaviours()), kind=kind, occurrence=occurrence)
            for kind in kinds
            for occurrence in range(1, 8)
            if draw.random() < 0.33
        ]
        with transferring(faults, skew) as (app, _):
            requests = app.service.recorder.requests
            early += early_requests(requests)
            waited += sum(retry_at(each) is not None for each in requests)
    minutes = skew / timedelta(minutes=1)
    report_line(
        f"figure 6: clock off by {minutes:+.0f} min, waits {waited}, "
        f"early {len(early)} (seed {SEED})"
    )
    assert not early
    assert waited > 100


def test_an_early_request_is_detected() -> None:
    """A request before the end of a wait is reported."""
    fault = Fault(misbehaviour=catalogue.throttled("30"), kind="range")
    with transferring([fault], timedelta()) as (app, _):
        requests = app.service.recorder.requests
        assert not early_requests(requests)
        requests[-1].at -= timedelta(days=1)
        assert early_requests(requests)


@pytest.mark.parametrize("kind", ["range", "last_range", "create", "list", None])
def test_ranges_are_sent_one_by_one_and_without_a_token(kind: Kind | None) -> None:
    """No request overlaps another; token and Prefer go to Graph only, with every request."""
    lost = Fault(misbehaviour=catalogue.failed_after_acceptance(502), kind=kind or "other")
    with transferring([lost], timedelta()) as (app, item):
        requests = app.service.recorder.requests
        assert {each.item for each in requests} == {item}
    uploads = [each for each in requests if each.path.startswith("/api/")]
    graph = [each for each in requests if each not in uploads]
    assert all(each.concurrency == 1 for each in requests)
    assert not [each.kind for each in uploads if "Authorization" in each.headers]
    assert not [each.kind for each in uploads if "Cookie" in each.headers]
    assert {each.headers["Prefer"] for each in graph} == {'IdType="ImmutableId"'}
    assert all(each.path.startswith("/v1.0/users/") for each in graph)
    assert sum(each.method == "PUT" for each in uploads) > SIZE // R


@pytest.mark.parametrize("size", [4_000_000, 4_000_001, 12_345_678])
def test_no_range_is_above_four_million_bytes(size: int) -> None:
    """With the largest RANGE_BYTES, and a server that keeps a part of a range."""
    app = InMemoryApp(range_bytes=4_000_000)
    try:
        app.service.faults.add(Fault(misbehaviour=catalogue.kept_in_part(0.3), kind="range"))
        item = app.add_message()
        app.blobs.put("a", bytes(size), None, {"mailbox": MAILBOX, "messageid": item})
        app.deliver("a")
        app.finish()
        assert [each.content_bytes for each in app.attachments(item)] == [size]
        puts = [each for each in app.service.recorder.requests if each.method == "PUT"]
        assert max(each.body_length for each in puts) <= 4_000_000
        assert all(each.range is not None and each.range.total == size for each in puts)
    finally:
        app.close()
