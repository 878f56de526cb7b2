"""Figure 2: every request of a plain transfer meets every fault of the catalogue, once.

And the near side's: every request to storage fails in every way; the blob, its metadata and the
session store meet what they can meet.
"""

import operator
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any

import pytest
import requests
import urllib3
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.transport import HttpRequest
from azure.storage.blob import BlobLeaseClient, BlobServiceClient, ContentSettings
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError

from infra.local.outlook import Fault, Kind, Misbehaviour, Rules, families
from shared.transfer.payloads import TransferStatus
from shared.transfer.retry_policy import STORAGE_PATIENCE
from tests.support.faults.faulty_storage import (
    FAILURES,
    Failure,
    FaultyTransport,
    Plan,
    is_for_sessions,
    is_metadata_write,
    storage_over,
)
from tests.support.faults.referee import Finding, Tally, Transfer
from tests.support.faults.schedule import HANG, PERMANENT, TRANSIENT
from tests.support.faults.testbed import BLOB, Bench, Trial
from tests.support.figures import AddUp
from tests.support.harness import MAILBOX, Product

R = 1_000
# Nothing here hangs for longer than it takes to notice.
PATIENT = Product(timeouts=(20.0, 20.0))
SMALL, LARGE = random.Random("small").randbytes(900), random.Random("large").randbytes(2 * R + 1)
_POST: list[Kind] = ["token", "list", "small_post"]
# A POST of the large file is refused first, so that it goes by a session of three ranges.
_SESSION: list[Kind] = [*_POST, "list", "create", "range", "range", "last_range"]
SHAPES: dict[str, tuple[bytes, Rules, list[Kind]]] = {
    "post": (SMALL, Rules(), _POST),
    "session": (LARGE, Rules(minimum_session_bytes=1, maximum_post_bytes=2_000), _SESSION),
    "silent session": (
        LARGE,
        Rules(
            minimum_session_bytes=1,
            maximum_post_bytes=2_000,
            session_state="405",
            repeated_range="200",
        ),
        _SESSION,
    ),
}
# Where each shape differs from those before it.
_BEGINS = {"post": 0, "session": 3, "silent session": 5}
# What no misbehaviour of that name can change at a request of that kind, and why.
WITHOUT_EFFECT: dict[tuple[Kind, str], str] = {
    ("last_range", "truncated JSON"): "the answer to a last range has no body",
    ("last_range", "HTML for JSON"): "the answer to a last range has no body",
}
# With those of the other family, every way in which a connection can break.
BROKEN = families.broken_connections(hang_seconds=HANG)
FIGURE = "figure 2: single faults"
NEAR_FIGURE = "figure 2: single faults of storage"


def requests_of_every_shape() -> Iterator[Any]:
    """Each request of each shape of a plain transfer."""
    for shape, (_, _, kinds) in SHAPES.items():
        for index in range(_BEGINS[shape], len(kinds)):
            yield pytest.param(shape, index, id=f"{shape} {index} {kinds[index]}")


@contextmanager
def tried(
    bench: Bench, shape: str, product: Product = PATIENT, **settings: object
) -> Iterator[tuple[Trial, Transfer]]:
    """A plain transfer of this shape, about to begin."""
    content, rules, _ = SHAPES[shape]
    settings |= {"range_bytes": R, "ranges_per_activity": 1}
    with bench.trial(rules, product, **settings) as trial:
        yield trial, trial.begin(content)


def status_of(transfer: Transfer) -> TransferStatus:
    """How the product says that it ended."""
    assert transfer.status is not None
    return transfer.status


@pytest.mark.parametrize("shape", SHAPES)
def test_a_plain_transfer_makes_the_requests_told_here(bench: Bench, shape: str) -> None:
    """Of the kinds that the other tests count on, and nothing is wrong."""
    with tried(bench, shape) as (trial, transfer):
        trial.run(transfer)
        assert [each.kind for each in bench.emulator.requests] == SHAPES[shape][2]
        assert not trial.judge(transfer)


@pytest.mark.parametrize(("shape", "index"), list(requests_of_every_shape()))
def test_no_single_fault_does_harm(bench: Bench, add_up: AddUp, shape: str, index: int) -> None:
    """Each fires; the file is attached once, or, after a refusal for good, not at all."""
    kind = SHAPES[shape][2][index]
    tally = Tally()
    for misbehaviour in (*TRANSIENT, *BROKEN, *PERMANENT):
        if kind in misbehaviour.kinds and (kind, misbehaviour.name) not in WITHOUT_EFFECT:
            tally.add(misbehaviour.name, 1, single_fault(bench, shape, index, misbehaviour))
    add_up(FIGURE, tally)
    assert tally.tried > 10
    assert not tally.red, tally.account()


def single_fault(
    bench: Bench, shape: str, index: int, misbehaviour: Misbehaviour, product: Product = PATIENT
) -> list[Finding]:
    """Run a plain transfer whose request of that index meets it; it must fire."""
    with tried(bench, shape, product) as (trial, transfer):
        fault = Fault(misbehaviour=misbehaviour, index=index)
        bench.emulator.faults.add(fault)
        transfer.must_attach = misbehaviour in (*TRANSIENT, *BROKEN)
        trial.run(transfer)
        assert bench.emulator.faults.fired == [fault], f"{misbehaviour.name} did not fire"
        return trial.judge(transfer)


def test_what_has_no_effect_really_has_none(bench: Bench) -> None:
    """The exceptions of this module are no excuse."""
    for kind, name in WITHOUT_EFFECT:
        (misbehaviour,) = (each for each in TRANSIENT if each.name == name)
        with tried(bench, "session") as (trial, transfer):
            bench.emulator.faults.add(Fault(misbehaviour=misbehaviour, kind=kind))
            trial.run(transfer)
            assert not bench.emulator.faults.fired
            assert bench.emulator.requests[-1].fault == name


class Unreachable(HTTPAdapter):
    """Cannot connect for the request of one number, from 0 on."""

    def __init__(self, number: int, reason: Exception) -> None:
        super().__init__(max_retries=0)
        self.number = number
        self.failed = False
        self._reason = reason

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        self.number -= 1
        if self.number == -1:
            self.failed = True
            pool = HTTPConnectionPool("graph.invalid")
            raise requests.ConnectionError(MaxRetryError(pool, "/", self._reason))
        return super().send(request, *args, **kwargs)


_NOWHERE = HTTPConnection("graph.invalid")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "reason",
    [
        NewConnectionError(_NOWHERE, "refused"),
        NameResolutionError("graph.invalid", _NOWHERE, socket.gaierror()),
        urllib3.exceptions.SSLError("handshake failure"),
    ],
    ids=["refused", "DNS", "TLS"],
)
def test_a_connection_that_is_not_made_is_made_later(
    bench: Bench, add_up: AddUp, shape: str, reason: Exception
) -> None:
    """Refused, without an address or without TLS: at every request, and attached once."""
    tally = Tally()
    # The token is fetched past this client.
    for number in range(len(SHAPES[shape][2]) - 1):
        with tried(bench, shape) as (trial, transfer):
            adapter = Unreachable(number, reason)
            trial.harness.graph._http.mount("http://", adapter)
            trial.run(transfer)
            assert adapter.failed
            tally.add(f"request {number}", 1, trial.judge(transfer))
    add_up(FIGURE, tally)
    assert not tally.red, tally.account()


# --- the near side ---


@contextmanager
def over_faulty_storage(
    bench: Bench, shape: str, **settings: object
) -> Iterator[tuple[FaultyTransport, Trial, Transfer]]:
    """A plain transfer whose storage can be told to fail; it does not yet."""
    transport = FaultyTransport()
    product = replace(PATIENT, storage=storage_over(transport))
    with tried(bench, shape, product, **settings) as (trial, transfer):
        try:
            yield transport, trial, transfer
        finally:
            transport.heal()


@pytest.mark.parametrize("shape", ["post", "session"])
@pytest.mark.parametrize("how", FAILURES)
def test_no_single_failure_of_storage_does_harm(
    bench: Bench, add_up: AddUp, shape: str, how: Failure
) -> None:
    """At every request to blob and session store: attached once, recorded, nothing left."""
    tally = Tally()
    for number in count():
        with over_faulty_storage(bench, shape) as (transport, trial, transfer):
            transport.follow(Plan(how=how, first=number))
            trial.run(transfer)
            if transport.seen <= number:
                break
            assert transport.failed == 1
            transport.heal()
            tally.add(f"request {number}", 1, trial.judge(transfer))
    add_up(NEAR_FIGURE, tally)
    assert tally.tried >= 7
    assert not tally.red, tally.account()


@pytest.mark.parametrize("shape", ["post", "session"])
@pytest.mark.parametrize("first", range(8))
def test_a_session_store_that_is_down_for_a_while_does_no_harm(
    bench: Bench, add_up: AddUp, shape: str, first: int
) -> None:
    """Five requests in a row, from any one on: attached once all the same."""
    tally = Tally()
    with over_faulty_storage(bench, shape) as (transport, trial, transfer):
        plan = Plan(how="503", first=first, times=5, concerns=is_for_sessions)
        transport.follow(plan)
        trial.run(transfer)
        transport.heal()
        tally.add(f"from {first}", transport.failed, trial.judge(transfer))
    add_up(NEAR_FIGURE, tally)
    assert not tally.red, tally.account()


@pytest.mark.parametrize("shape", ["post", "session"])
@pytest.mark.parametrize("first", range(0, 8, 2))
def test_a_session_store_that_stays_down_ends_the_transfer_in_time(
    bench: Bench, add_up: AddUp, shape: str, first: int
) -> None:
    """Nothing is doubled and nothing is told wrongly; what cannot be deleted expires."""
    tally = Tally()
    faulty = over_faulty_storage(bench, shape, transfer_deadline_minutes=10)
    with faulty as (transport, trial, transfer):
        transport.follow(Plan(how="503", first=first, times=None, concerns=is_for_sessions))
        transfer.must_attach = False
        # After the attachment the record has a time of its own.
        transfer.deadline += STORAGE_PATIENCE
        trial.run(transfer)
        transport.heal()
        found = [each for each in trial.judge(transfer) if each.figure != "left"]
        tally.add(f"from {first}", transport.failed, found)
    add_up(NEAR_FIGURE, tally)
    assert not tally.red, tally.account()


@pytest.mark.parametrize("shape", ["post", "session"])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_session_store_that_fails_a_second_delivery_does_no_harm(
    bench: Bench, add_up: AddUp, shape: str, times: int
) -> None:
    """The second delivery cannot read what the first has noted: attached once all the same."""
    tally = Tally()
    with over_faulty_storage(bench, shape) as (transport, trial, transfer):
        last = "attach_small_file" if shape == "post" else "upload_ranges"

        def fail_the_second(request: HttpRequest) -> None:
            made = {each.kind for each in bench.emulator.requests}
            if made & {"small_post", "last_range"} and not transport.seen:
                transport.follow(Plan(how="503", times=times, concerns=is_for_sessions))

        transport.before = fail_the_second
        trial.run(transfer, twice=lambda _: transfer.engine.next_activity == last)
        transport.heal()
        assert transport.failed == times
        tally.add(f"{times} times", transport.failed, trial.judge(transfer))
    add_up(NEAR_FIGURE, tally)
    assert not tally.red, tally.account()


def overwritten(trial: Trial, transfer: Transfer) -> None:
    metadata = {"mailbox": MAILBOX, "messageid": transfer.item}
    trial.harness.put(BLOB, bytes(len(transfer.content)), **metadata)
    transfer.blob_kept = False


def deleted(trial: Trial, _: Transfer) -> None:
    trial.harness.container.delete_blob(BLOB)


def written_to(trial: Trial, _: Transfer) -> None:
    blob = trial.harness.container.get_blob_client(BLOB)
    blob.set_blob_metadata(trial.harness.metadata(BLOB) | {"seen": "yes"})


def properties_written(trial: Trial, _: Transfer) -> None:
    blob = trial.harness.container.get_blob_client(BLOB)
    # Without an MD5 among them, the blob has none any more.
    blob.set_http_headers(ContentSettings(content_type="application/pdf"))


def leased(trial: Trial, _: Transfer) -> None:
    BlobLeaseClient(trial.harness.container.get_blob_client(BLOB)).acquire()


def released(trial: Trial, _: Transfer) -> None:
    BlobLeaseClient(trial.harness.container.get_blob_client(BLOB)).break_lease(0)


def cancelled(_: Trial, transfer: Transfer) -> None:
    transfer.engine.raise_event("cancel")


type Happening = Callable[[Trial, Transfer], None]


@dataclass(frozen=True)
class Event:
    """What happens before a step, and five steps later; whether the file must arrive even so."""

    happening: Happening
    afterwards: Happening | None = None
    must_attach: bool = False


EVENTS = {
    "overwritten": Event(overwritten),
    "deleted": Event(deleted),
    "cancelled": Event(cancelled),
    "cancelled twice": Event(cancelled, cancelled),
    "written to": Event(written_to, must_attach=True),
    "properties written": Event(properties_written),
    "leased": Event(leased, released, must_attach=True),
}


@pytest.mark.parametrize("shape", ["post", "session"])
@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS.keys())
def test_an_event_at_any_step_does_no_harm(
    bench: Bench, add_up: AddUp, shape: str, event: Event
) -> None:
    """Either the file is attached once and said to be, or it is not and that is said."""
    tally = Tally()
    with tried(bench, shape) as (trial, transfer):
        trial.run(transfer)
        steps = len(transfer.engine.performed)
    for at in range(steps):
        with tried(bench, shape) as (trial, transfer):
            transfer.must_attach = event.must_attach
            trial.run(transfer, before=partial(_happen, event, at, trial, transfer))
            tally.add(f"before step {at}", 1, trial.judge(transfer))
    add_up(NEAR_FIGURE, tally)
    assert not tally.red, tally.account()


@pytest.mark.parametrize("shape", ["post", "session"])
@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS.keys())
def test_an_event_between_two_deliveries_does_no_harm(
    bench: Bench, add_up: AddUp, shape: str, event: Event
) -> None:
    """The worker of any activity dies after its work; the next one finds another world."""
    tally = Tally()
    with tried(bench, shape) as (trial, transfer):
        trial.run(transfer)
        steps = len(transfer.engine.performed)
    for at in range(steps):
        with tried(bench, shape) as (trial, transfer):
            transfer.must_attach = event.must_attach
            happen = partial(_happen, event, at, trial, transfer)
            later = partial(_afterwards, event, at, trial, transfer)
            trial.run(transfer, before=later, twice=partial(operator.eq, at), between=happen)
            if event.happening is leased:
                # It may have come to its end before the lease did.
                with suppress(HttpResponseError):
                    released(trial, transfer)
            tally.add(f"between the deliveries of step {at}", 1, trial.judge(transfer))
    add_up(NEAR_FIGURE, tally)
    assert not tally.red, tally.account()


def _afterwards(event: Event, at: int, trial: Trial, transfer: Transfer, step: int) -> None:
    if step > at:
        _happen(event, at, trial, transfer, step)


def _happen(event: Event, at: int, trial: Trial, transfer: Transfer, step: int) -> None:
    if step == at:
        event.happening(trial, transfer)
    elif step == at + 5 and event.afterwards and not transfer.engine.is_over:
        event.afterwards(trial, transfer)


@pytest.mark.parametrize("times", [1, 4, 12])
def test_a_record_gets_past_other_writers_of_metadata(
    bench: Bench, azurite: str, times: int
) -> None:
    """Somebody else writes between the read and the write, again and again: both are kept."""
    others = BlobServiceClient.from_connection_string(azurite)
    with over_faulty_storage(bench, "post") as (transport, trial, transfer):
        blob = others.get_blob_client(trial.harness.container.container_name, BLOB)
        written = count()

        def write_first(request: HttpRequest) -> None:
            if is_metadata_write(request) and (number := next(written)) < times:
                metadata = dict(blob.get_blob_properties().metadata) | {"seen": str(number)}
                blob.set_blob_metadata(metadata)

        transport.before = write_first
        trial.run(transfer)
        assert next(written) > times
        assert trial.harness.metadata(BLOB)["seen"] == str(times - 1)
        assert not trial.judge(transfer)
    others.close()


@pytest.mark.parametrize("room", [0, 40, 100, 200])
def test_no_room_for_the_record_attaches_once_all_the_same(bench: Bench, room: int) -> None:
    """The user's own keys stay; a later event of the same content attaches nothing more."""
    with tried(bench, "post") as (trial, transfer):
        used = sum(len(key) + len(text) for key, text in trial.harness.metadata(BLOB).items())
        own = {"own": "x" * (8192 - used - len("own") - room)}
        blob = trial.harness.container.get_blob_client(BLOB)
        blob.set_blob_metadata(trial.harness.metadata(BLOB) | own)
        transfer.engine = trial.harness.begin(BLOB)
        trial.run(transfer)
        assert status_of(transfer).state == "attached"
        again = trial.harness.begin(BLOB)
        assert again.run()["state"] == "attached"
        (attachment,) = bench.emulator.attachments(MAILBOX, transfer.item)
        assert attachment.content == transfer.content
        metadata = trial.harness.metadata(BLOB)
        assert metadata["own"] == own["own"]
        assert metadata.get("attachmentid", attachment.id) == attachment.id
        assert not bench.emulator.open_sessions()
