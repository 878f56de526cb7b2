"""Which request gets a fault: by index, kind or seed; and when a fault counts as fired."""

import random
from typing import Any

import pytest
import requests

from infra.local.outlook import (
    Arrival,
    Fault,
    FaultSchedule,
    Misbehaviour,
    OutlookEmulator,
    SeededFaults,
    catalogue,
    families,
)
from tests.unit.local.outlook_client import Client


def on(kind: Any, misbehaviour: Misbehaviour, **when: Any) -> Fault:
    """A fault for the first request of a kind."""
    return Fault(misbehaviour=misbehaviour, kind=kind, **when)


def test_fault_happens_once_by_default(client: Client, message: str) -> None:
    """Or a number of times in a row, or without end."""
    schedule = client.emulator.faults
    schedule.add(on("get_item", catalogue.throttled(), occurrence=2, times=2))
    schedule.add(on("list", catalogue.forbidden(), times=None))
    url = client.item_url(message)
    assert [client.graph("GET", url).status_code for _ in range(4)] == [200, 429, 429, 200]
    assert [client.graph("GET", f"{url}/attachments").status_code for _ in range(3)] == [403] * 3


def test_fault_can_be_given_by_index(client: Client, message: str) -> None:
    """The index counts all requests, token requests included."""
    fault = Fault(misbehaviour=catalogue.throttled(), index=2)
    client.emulator.faults.add(fault)
    url = client.item_url(message)
    assert [client.graph("GET", url).status_code for _ in range(3)] == [200, 429, 200]
    assert client.emulator.requests[2].fault == fault.misbehaviour.name


def test_fault_needs_either_an_index_or_a_kind() -> None:
    """Neither, or both, is an error in the test."""
    with pytest.raises(ValueError, match="index or for a kind"):
        Fault(misbehaviour=catalogue.throttled())


def test_fault_that_makes_no_difference_has_not_fired(client: Client, message: str) -> None:
    """A truncated empty response, or a fault for another kind at that index."""
    url = client.session(message, 3)
    empty = on("cancel", catalogue.truncated_json())
    misplaced = Fault(misbehaviour=catalogue.without_location(), index=0)
    client.emulator.faults.add(empty, misplaced)
    assert client.http.delete(url).status_code == 204
    assert client.emulator.faults.fired == []
    assert client.emulator.faults.unfired == [empty, misplaced]


@pytest.mark.parametrize(
    "misbehaviour",
    [
        *families.transient(hang_seconds=0.05),
        *families.broken_connections(hang_seconds=0.05),
        *families.permanent(),
    ],
    ids=lambda value: value.name,
)
def test_every_fault_of_the_catalogue_can_fire(
    client: Client, message: str, misbehaviour: Misbehaviour
) -> None:
    """Each takes effect on at least one kind of request."""
    kinds: tuple[Any, ...] = ("create", "range", "last_range")
    client.emulator.faults.add(*(on(kind, misbehaviour) for kind in kinds))
    try:
        url = client.session(message, 9)
        client.put(url, b"abc", 0, 9)
        client.put(url, b"defghi", 3, 9)
    except (requests.RequestException, AssertionError):
        # This client does not recover from a fault. The test only checks that it fired.
        pass
    assert client.emulator.faults.fired


def drawn(seed: int) -> list[str]:
    """The faults that a seed chooses for 200 requests."""
    source = SeededFaults(random.Random(seed), 0.3, families.transient())
    faults = [source.choose(Arrival(index, "last_range", index + 1)) for index in range(200)]
    return [fault.misbehaviour.name if fault else "" for fault in faults]


def test_seed_determines_every_fault() -> None:
    """A run can be repeated by its seed; the number of faults is about that of the rate."""
    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)
    assert 30 < sum(map(bool, drawn(7))) < 90


def test_random_run_can_be_replayed_as_a_schedule(emulator: OutlookEmulator, message: str) -> None:
    """The faults that fired are given by index, and produce the same responses again."""
    choices = [catalogue.throttled(), catalogue.forbidden(), catalogue.failed_after_acceptance()]
    source = SeededFaults(random.Random(3), 0.5, choices)
    client = Client(emulator)

    def statuses() -> list[int]:
        return [client.graph("GET", client.item_url(message)).status_code for _ in range(12)]

    emulator.clear()
    emulator.random_faults = source
    by_chance = statuses()
    emulator.clear()
    emulator.faults.add(*source.fired)
    assert statuses() == by_chance
    assert len(set(by_chance)) > 1
    client.close()


def test_schedule_takes_precedence_over_random_faults(client: Client, message: str) -> None:
    """A scheduled fault is used even if a random one was chosen too."""
    emulator = client.emulator
    emulator.random_faults = SeededFaults(random.Random(1), 1, [catalogue.forbidden()])
    emulator.faults.add(on("get_item", catalogue.throttled()))
    url = client.item_url(message)
    assert [client.graph("GET", url).status_code for _ in range(2)] == [429, 403]


def test_cleared_schedule_is_empty() -> None:
    """After `clear` there is no fault and no record of one."""
    schedule = FaultSchedule()
    schedule.add(Fault(misbehaviour=catalogue.throttled(), index=0))
    schedule.clear()
    assert schedule.choose(Arrival(0, "list", 1)) is None
    assert (schedule.fired, schedule.unfired) == ([], [])
