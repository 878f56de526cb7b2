"""The query of a list of transfers."""

from datetime import UTC, datetime

import pytest

from shared.errors import InvalidRequest
from shared.transfer.service.list_transfers import TransferQuery
from shared.triggers.http.models import ListQuery

URL = "https://app.example/api/transfers"


def read(query: str) -> ListQuery:
    return ListQuery.read(f"{URL}?{query}" if query else URL)


def faults_of(query: str) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequest) as refused:
        read(query)
    return [(each.field, each.message) for each in refused.value.details]


def test_nothing_has_to_be_given() -> None:
    """Then the first 50 of a day."""
    assert read("").wanted == TransferQuery()
    assert TransferQuery().top == 50


def test_every_parameter_has_a_meaning() -> None:
    """``state`` may be given several times; a key in the URL is the host's own."""
    query = read(
        "since=2026-11-22T10:00:00Z&state=failed&state=unaddressed&mailbox=a%2Bb@contoso.com"
        "&blob=in/scan%20%C3%BC.pdf&q=scan&top=7&cursor=abc&code=KEY&clientId=default"
    )
    assert query.wanted == TransferQuery(
        since=datetime(2026, 11, 22, 10, tzinfo=UTC),
        states=("failed", "unaddressed"),
        mailbox="a+b@contoso.com",
        blob="in/scan \u00fc.pdf",
        q="scan",
        top=7,
        cursor="abc",
    )


def test_every_faulty_parameter_is_named() -> None:
    """By its own name, and all at once."""
    faults = faults_of("since=x&top=0&state=failed&state=y&q=" + "q" * 257)
    assert {field for field, _ in faults} == {"since", "top", "state", "q"}


def test_an_unknown_parameter_is_refused() -> None:
    """Its filter would be missing without a word; ``status`` was one in version 1.0."""
    (fault,) = faults_of("status=failed")
    known = "since, state, mailbox, blob, q, top, cursor"
    assert fault == ("status", f"unknown parameter; there are {known}")


def test_only_the_state_is_given_several_times() -> None:
    """It is not guessed which of two mailboxes is meant."""
    faults = faults_of("mailbox=a@contoso.com&mailbox=b@contoso.com")
    assert faults == [("mailbox", "is given twice; keep one of them")]


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_is_a_mistake_is_refused(time: str) -> None:
    """With the years that are allowed."""
    assert faults_of(f"since={time}") == [("since", "should be between the years 2000 and 9000")]


def test_a_time_without_a_zone_is_utc() -> None:
    """As all times of the API are."""
    assert read("since=2026-11-22T10:00:00").since == datetime(2026, 11, 22, 10, tzinfo=UTC)
