"""Figure 2: every request of a plain transfer meets every fault of the catalogue, once.

The same for storage: every request fails in every way, and anything that may happen to the blob,
its metadata and the ledger happens at every step.
"""

import operator
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
from azure.storage.blob import BlobLeaseClient, BlobServiceClient
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError

from infra.local.outlook import Fault, Kind
from shared.transfer.payloads import TransferStatus
from shared.transfer.retry_policy import STORAGE_PATIENCE
from tests.support.faults.fault_sets import BROKEN, PERMANENT, TRANSIENT
from tests.support.faults.faulty_storage import (
    FAILURES,
    Failure,
    FaultyTables,
    FaultyTransport,
    Plan,
    is_for_ledger,
    is_metadata_write,
    storage_over,
)
from tests.support.faults.findings import Tally
from tests.support.faults.observed_transfer import ObservedTransfer
from tests.support.faults.single_faults import (
    PATIENT,
    SHAPES,
    plain_transfer,
    single_fault,
)
from tests.support.faults.testbed import Testbed
from tests.support.faults.trial import BLOB, Trial
from tests.support.figures import AddTally
from tests.support.virtual_app import MAILBOX

# Where each shape differs from those before it.
_BEGINS = {"post": 0, "session": 4, "silent session": 7}
# Misbehaviours that cannot change anything at a request of that kind, and why.
WITHOUT_EFFECT: dict[tuple[Kind, str], str] = {
    ("last_range", "truncated JSON"): "the answer to a last range has no body",
    ("last_range", "HTML for JSON"): "the answer to a last range has no body",
}
FIGURE = "figure 2: single faults"
STORAGE_FIGURE = "figure 2: single faults of storage"


def requests_of_every_shape() -> Iterator[Any]:
    """Each request of each shape of a plain transfer."""
    for shape, (_, _, kinds) in SHAPES.items():
        for index in range(_BEGINS[shape], len(kinds)):
            yield pytest.param(shape, index, id=f"{shape} {index} {kinds[index]}")


def status_of(transfer: ObservedTransfer) -> TransferStatus:
    """The output of the transfer."""
    assert transfer.status is not None
    return transfer.status


@pytest.mark.parametrize("shape", SHAPES)
def test_a_plain_transfer_makes_the_requests_of_its_shape(testbed: Testbed, shape: str) -> None:
    """The other tests rely on their kinds; there is no finding."""
    with plain_transfer(testbed, shape) as (trial, transfer):
        trial.run(transfer)
        assert [each.kind for each in testbed.emulator.requests] == SHAPES[shape][2]
        assert not trial.judge(transfer)


@pytest.mark.parametrize(("shape", "index"), list(requests_of_every_shape()))
def test_no_single_fault_does_harm(
    testbed: Testbed, add_tally: AddTally, shape: str, index: int
) -> None:
    """Each has an effect; the file is attached once, or not at all after a permanent refusal."""
    kind = SHAPES[shape][2][index]
    tally = Tally()
    for misbehaviour in (*TRANSIENT, *BROKEN, *PERMANENT):
        if kind in misbehaviour.kinds and (kind, misbehaviour.name) not in WITHOUT_EFFECT:
            tally.add(misbehaviour.name, 1, single_fault(testbed, shape, index, misbehaviour))
    add_tally(FIGURE, tally)
    assert tally.tried > 10
    assert not tally.failures, tally.report()


def test_what_has_no_effect_really_has_none(testbed: Testbed) -> None:
    """The exceptions of this module are justified."""
    for kind, name in WITHOUT_EFFECT:
        (misbehaviour,) = (each for each in TRANSIENT if each.name == name)
        with plain_transfer(testbed, "session") as (trial, transfer):
            testbed.emulator.faults.add(Fault(misbehaviour=misbehaviour, kind=kind))
            trial.run(transfer)
            assert not testbed.emulator.faults.fired
            assert testbed.emulator.requests[-1].fault == name


class Unreachable(HTTPAdapter):
    """Fails to connect for one request, by its number from 0 on."""

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
def test_a_failed_connection_is_retried_later(
    testbed: Testbed, add_tally: AddTally, shape: str, reason: Exception
) -> None:
    """Refused, without a DNS name or without TLS, at every request: attached once."""
    tally = Tally()
    # The token is not requested by this client.
    for number in range(len(SHAPES[shape][2]) - 1):
        with plain_transfer(testbed, shape) as (trial, transfer):
            adapter = Unreachable(number, reason)
            trial.harness.graph._http.mount("http://", adapter)
            trial.run(transfer)
            assert adapter.failed
            tally.add(f"request {number}", 1, trial.judge(transfer))
    add_tally(FIGURE, tally)
    assert not tally.failures, tally.report()


# --- storage ---


@contextmanager
def over_faulty_storage(
    testbed: Testbed, shape: str, **settings: object
) -> Iterator[tuple[FaultyTransport, Trial, ObservedTransfer]]:
    """A plain transfer whose storage can be made to fail; it does not fail yet."""
    transport = FaultyTransport()
    tables = partial(FaultyTables, transport)
    product = replace(PATIENT, storage=storage_over(transport), tables=tables)
    with plain_transfer(testbed, shape, product, **settings) as (trial, transfer):
        try:
            yield transport, trial, transfer
        finally:
            transport.recover()


@pytest.mark.parametrize("shape", ["post", "session"])
@pytest.mark.parametrize("how", FAILURES)
def test_no_single_failure_of_storage_does_harm(
    testbed: Testbed, add_tally: AddTally, shape: str, how: Failure
) -> None:
    """At every request to blob, ledger and locks: attached once, recorded, nothing left behind."""
    tally = Tally()
    for number in count():
        with over_faulty_storage(testbed, shape) as (transport, trial, transfer):
            transport.fail_by(Plan(how=how, first=number))
            trial.run(transfer)
            if transport.seen <= number:
                break
            assert transport.failed == 1
            transport.recover()
            tally.add(f"request {number}", 1, trial.judge(transfer))
    add_tally(STORAGE_FIGURE, tally)
    assert tally.tried >= 7
    assert not tally.failures, tally.report()


@pytest.mark.parametrize("shape", ["post", "session"])
@pytest.mark.parametrize("first", range(8))
def test_a_ledger_that_is_down_for_a_while_does_no_harm(
    testbed: Testbed, add_tally: AddTally, shape: str, first: int
) -> None:
    """Five requests in a row, from any request on: still attached once."""
    tally = Tally()
    with over_faulty_storage(testbed, shape) as (transport, trial, transfer):
        plan = Plan(how="503", first=first, times=5, applies_to=is_for_ledger)
        transport.fail_by(plan)
        trial.run(transfer)
        transport.recover()
        tally.add(f"from {first}", transport.failed, trial.judge(transfer))
    add_tally(STORAGE_FIGURE, tally)
    assert not tally.failures, tally.report()


@pytest.mark.parametrize("shape", ["post", "session"])
@pytest.mark.parametrize("first", range(0, 8, 2))
def test_a_ledger_that_stays_down_ends_the_transfer_in_time(
    testbed: Testbed, add_tally: AddTally, shape: str, first: int
) -> None:
    """Nothing is doubled or misreported; a session that cannot be deleted expires."""
    tally = Tally()
    faulty = over_faulty_storage(testbed, shape, transfer_deadline_minutes=10)
    with faulty as (transport, trial, transfer):
        transport.fail_by(Plan(how="503", first=first, times=None, applies_to=is_for_ledger))
        transfer.must_attach = False
        # The inspection and the record have a deadline of their own.
        transfer.deadline += 2 * STORAGE_PATIENCE
        trial.run(transfer)
        transport.recover()
        found = [each for each in trial.judge(transfer) if each.figure != "left"]
        tally.add(f"from {first}", transport.failed, found)
    add_tally(STORAGE_FIGURE, tally)
    assert not tally.failures, tally.report()


@pytest.mark.parametrize("shape", ["post", "session"])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_ledger_that_fails_a_second_delivery_does_no_harm(
    testbed: Testbed, add_tally: AddTally, shape: str, times: int
) -> None:
    """The second delivery cannot read the row of the first: still attached once."""
    tally = Tally()
    with over_faulty_storage(testbed, shape) as (transport, trial, transfer):
        last = "attach_small_file" if shape == "post" else "upload_ranges"

        def fail_the_second(request: HttpRequest) -> None:
            made = {each.kind for each in testbed.emulator.requests}
            if made & {"small_post", "last_range"} and not transport.seen:
                transport.fail_by(Plan(how="503", times=times, applies_to=is_for_ledger))

        transport.before = fail_the_second
        trial.run(transfer, twice=lambda _: transfer.engine.next_activity == last)
        transport.recover()
        assert transport.failed == times
        tally.add(f"{times} times", transport.failed, trial.judge(transfer))
    add_tally(STORAGE_FIGURE, tally)
    assert not tally.failures, tally.report()


def overwritten(trial: Trial, transfer: ObservedTransfer) -> None:
    address = {"mailbox": MAILBOX, "messageid": transfer.item}
    trial.put_blob(bytes(len(transfer.content)), address)
    transfer.content_is_current = False


def deleted(trial: Trial, _: ObservedTransfer) -> None:
    trial.delete_blob()


def metadata_written(trial: Trial, _: ObservedTransfer) -> None:
    trial.add_metadata()


def properties_written(trial: Trial, _: ObservedTransfer) -> None:
    trial.clear_md5()


def leased(trial: Trial, _: ObservedTransfer) -> None:
    lease = BlobLeaseClient(trial.harness.container.get_blob_client(BLOB))
    lease.acquire(lease_duration=60)


def released(trial: Trial, _: ObservedTransfer) -> None:
    BlobLeaseClient(trial.harness.container.get_blob_client(BLOB)).break_lease(0)


def cancelled(_: Trial, transfer: ObservedTransfer) -> None:
    transfer.engine.raise_event("cancel")


type Change = Callable[[Trial, ObservedTransfer], None]


@dataclass(frozen=True)
class Event:
    """What happens before a step, and five steps later; whether the file must still be attached."""

    change: Change
    afterwards: Change | None = None
    must_attach: bool = False


EVENTS = {
    "overwritten": Event(overwritten),
    "deleted": Event(deleted),
    "cancelled": Event(cancelled),
    "cancelled twice": Event(cancelled, cancelled),
    "metadata written": Event(metadata_written, must_attach=True),
    "properties written": Event(properties_written),
    "leased": Event(leased, released, must_attach=True),
}


@pytest.mark.parametrize("shape", ["post", "session"])
@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS.keys())
def test_an_event_at_any_step_does_no_harm(
    testbed: Testbed, add_tally: AddTally, shape: str, event: Event
) -> None:
    """The file is attached once and reported so, or not attached and reported so."""
    tally = Tally()
    with plain_transfer(testbed, shape) as (trial, transfer):
        trial.run(transfer)
        steps = len(transfer.engine.performed)
    for at in range(steps):
        with plain_transfer(testbed, shape) as (trial, transfer):
            transfer.must_attach = event.must_attach
            trial.run(transfer, before=partial(_happen, event, at, trial, transfer))
            tally.add(f"before step {at}", 1, trial.judge(transfer))
    add_tally(STORAGE_FIGURE, tally)
    assert not tally.failures, tally.report()


@pytest.mark.parametrize("shape", ["post", "session"])
@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS.keys())
def test_an_event_between_two_deliveries_does_no_harm(
    testbed: Testbed, add_tally: AddTally, shape: str, event: Event
) -> None:
    """A worker is killed after its activity, and the next delivery finds something changed."""
    tally = Tally()
    with plain_transfer(testbed, shape) as (trial, transfer):
        trial.run(transfer)
        steps = len(transfer.engine.performed)
    for at in range(steps):
        with plain_transfer(testbed, shape) as (trial, transfer):
            transfer.must_attach = event.must_attach
            happen = partial(_happen, event, at, trial, transfer)
            later = partial(_afterwards, event, at, trial, transfer)
            trial.run(transfer, before=later, twice=partial(operator.eq, at), between=happen)
            if event.change is leased:
                # The transfer may have ended before the lease did.
                with suppress(HttpResponseError):
                    released(trial, transfer)
            tally.add(f"between the deliveries of step {at}", 1, trial.judge(transfer))
    add_tally(STORAGE_FIGURE, tally)
    assert not tally.failures, tally.report()


def _afterwards(event: Event, at: int, trial: Trial, transfer: ObservedTransfer, step: int) -> None:
    if step > at:
        _happen(event, at, trial, transfer, step)


def _happen(event: Event, at: int, trial: Trial, transfer: ObservedTransfer, step: int) -> None:
    if step == at:
        event.change(trial, transfer)
    elif step == at + 5 and event.afterwards and not transfer.engine.is_over:
        event.afterwards(trial, transfer)


@pytest.mark.parametrize("times", [1, 4, 12])
def test_a_record_is_written_despite_other_writers_of_metadata(
    testbed: Testbed, azurite: str, times: int
) -> None:
    """Another client writes between the read and the write, repeatedly: both writes are kept."""
    others = BlobServiceClient.from_connection_string(azurite)
    with over_faulty_storage(testbed, "post") as (transport, trial, transfer):
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


@pytest.mark.parametrize("free_bytes", [0, 40, 100, 200])
def test_a_record_that_does_not_fit_still_attaches_once(testbed: Testbed, free_bytes: int) -> None:
    """The user's own keys stay; a later event of the same content attaches nothing."""
    with plain_transfer(testbed, "post") as (trial, transfer):
        used = sum(len(key) + len(text) for key, text in trial.harness.metadata(BLOB).items())
        own = {"own": "x" * (8192 - used - len("own") - free_bytes)}
        blob = trial.harness.container.get_blob_client(BLOB)
        blob.set_blob_metadata(trial.harness.metadata(BLOB) | own)
        transfer.engine = trial.harness.begin(BLOB)
        trial.run(transfer)
        assert status_of(transfer).state == "attached"
        again = trial.harness.begin(BLOB)
        assert again.run()["state"] == "attached"
        (attachment,) = testbed.emulator.attachments(MAILBOX, transfer.item)
        assert attachment.content == transfer.content
        metadata = trial.harness.metadata(BLOB)
        assert metadata["own"] == own["own"]
        assert metadata.get("attachmentid", attachment.id) == attachment.id
        assert not testbed.emulator.open_sessions()
