"""The query of a list of transfers."""

from datetime import UTC, datetime

import pytest

from shared.errors import InvalidRequest
from shared.triggers.http.models import ListQuery


def test_every_faulty_parameter_is_named() -> None:
    """By its own name, and all at once."""
    with pytest.raises(InvalidRequest) as refused:
        ListQuery.read({"since": "x", "top": "0", "status": "y", "code": "a key"})
    assert {each.field for each in refused.value.details} == {"since", "top", "status"}


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_no_engine_can_represent_is_refused(time: str) -> None:
    """With the years that are allowed."""
    with pytest.raises(InvalidRequest) as refused:
        ListQuery.read({"since": time})
    assert [(each.field, each.message) for each in refused.value.details] == [
        ("since", "should be between the years 2000 and 9000")
    ]


def test_a_time_without_a_zone_is_utc() -> None:
    """As all times of the API are."""
    query = ListQuery.read({"since": "2026-11-22T10:00:00"})
    assert query.since == datetime(2026, 11, 22, 10, tzinfo=UTC)
