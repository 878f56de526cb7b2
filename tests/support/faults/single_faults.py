"""Plain transfers of a few shapes, whose every request meets one fault."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

from infra.local.outlook import Fault, Kind, Misbehaviour, Rules
from tests.support.faults.fault_sets import BROKEN, TRANSIENT
from tests.support.faults.findings import Finding
from tests.support.faults.observed_transfer import ObservedTransfer
from tests.support.faults.testbed import Testbed
from tests.support.faults.trial import Trial
from tests.support.harness import Product

R = 1_000
# Timeouts longer than any connection hangs here.
PATIENT = Product(timeouts=(20.0, 20.0))
SMALL, LARGE = random.Random("small").randbytes(900), random.Random("large").randbytes(2 * R + 1)
_POST: list[Kind] = ["token", "list", "get_item", "small_post"]
# A POST of the large file is refused first, so that it is sent by a session of three ranges.
_SESSION: list[Kind] = [
    *_POST,
    *("list", "get_item", "create", "range", "range", "get_item", "last_range"),
]
# By name: the content, the rules of the service, and the kinds of the requests in order.
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


@contextmanager
def plain_transfer(
    testbed: Testbed, shape: str, product: Product = PATIENT, **settings: object
) -> Iterator[tuple[Trial, ObservedTransfer]]:
    """A transfer of this shape, about to begin."""
    content, rules, _ = SHAPES[shape]
    settings |= {"range_bytes": R, "ranges_per_activity": 1}
    with testbed.trial(rules, product, **settings) as trial:
        yield trial, trial.begin(content)


def single_fault(
    testbed: Testbed, shape: str, index: int, misbehaviour: Misbehaviour, product: Product = PATIENT
) -> list[Finding]:
    """Run a transfer whose request of that index meets the misbehaviour; the findings."""
    with plain_transfer(testbed, shape, product) as (trial, transfer):
        fault = Fault(misbehaviour=misbehaviour, index=index)
        testbed.emulator.faults.add(fault)
        transfer.must_attach = misbehaviour in (*TRANSIENT, *BROKEN)
        trial.run(transfer)
        assert testbed.emulator.faults.fired == [fault], f"{misbehaviour.name} did not fire"
        return trial.judge(transfer)
