"""Figure 1 by a stateful test: hypothesis searches for an order of events that does harm.

Its rules advance the transfers of one blob step by step; between any two steps the service
misbehaves, the blob changes, another client writes to the item, or time passes. A failure is
shrunk to the fewest events, and printed as calls that reproduce it.
"""

import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.faults.broken_products import EarlyRetry, LoggedUrl, WithoutReconciling
from tests.support.faults.fault_sets import SURVIVED
from tests.support.faults.findings import Tally
from tests.support.faults.testbed import Testbed
from tests.support.faults.transfer_model import ITEM, TransferModel
from tests.support.faults.trial import DatedSource
from tests.support.faults.variants import FAULTS, VARIANTS, FaultOfKind, R, Variant
from tests.support.figures import AddTally
from tests.support.harness import AS_SHIPPED, Product
from tests.support.virtual_app import MAILBOX

FIGURE = "figure 1: transfers as a state machine"
MAX_FAULTS, MAX_EVENTS = 8, 6
# The steps of the engine before an event: how often each is delivered.
STEPS = st.lists(st.sampled_from((1, 1, 2)), max_size=4)
SEEDS, SEEDS_FOR_BROKEN = range(4), range(20)
SETTINGS = settings(
    # With more examples hypothesis would mostly vary those that it has.
    max_examples=10,
    stateful_step_count=15,
    deadline=None,
    database=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],
)


@dataclass
class Results:
    """The figures of a test, and how many transfers ended in each state."""

    tally: Tally = field(default_factory=Tally)
    ends: Counter[str] = field(default_factory=Counter)


class TransferMachine(RuleBasedStateMachine):
    """The rules by which the model changes."""

    def __init__(self, testbed: Testbed, results: Results, product: Product) -> None:
        super().__init__()
        self._bench = testbed
        self._results = results
        self._product = replace(product, source=DatedSource, timeouts=(20.0, 20.0))
        self._running = ExitStack()
        self.model: TransferModel

    @initialize(variant=VARIANTS, faults=st.lists(FAULTS, max_size=SURVIVED))
    def a_file_is_dropped(self, variant: Variant, faults: list[FaultOfKind]) -> None:
        options = {
            "range_bytes": R,
            "ranges_per_activity": variant.ranges_per_activity,
            "transfer_deadline_minutes": variant.deadline_minutes,
        }
        trial = self._bench.trial(variant.rules, self._product, **options)
        self.model = TransferModel(self._running.enter_context(trial), variant)
        for fault in faults:
            self.model.faults.add(fault)

    @precondition(lambda self: self.model.has_more_steps)
    @rule(deliveries=st.sampled_from((1, 2)))
    def advance(self, deliveries: int) -> None:
        self.model.step(deliveries)

    @precondition(lambda self: self.model.has_more_steps)
    @precondition(lambda self: len(self.model.faults.fired) < MAX_FAULTS)
    @rule(fault=FAULTS, after=STEPS)
    def next_request_fails(self, fault: FaultOfKind, after: list[int]) -> None:
        self.model.steps(after)
        self.model.faults.add(fault)

    @precondition(lambda self: self.model.blob_exists)
    @rule(value=st.integers(0, 9), after=STEPS)
    def metadata_is_written(self, value: int, after: list[int]) -> None:
        self.model.steps(after)
        self.model.write_metadata(value)

    @precondition(lambda self: self.model.may_interrupt)
    @rule(after=STEPS)
    def blob_is_overwritten(self, after: list[int]) -> None:
        self.model.steps(after)
        self.model.overwrite()

    @precondition(lambda self: self.model.may_interrupt and self.model.blob_exists)
    @rule(after=STEPS)
    def blob_is_deleted(self, after: list[int]) -> None:
        self.model.steps(after)
        self.model.delete()

    @precondition(lambda self: self.model.may_interrupt and self.model.has_more_steps)
    @rule(after=STEPS)
    def transfer_is_cancelled(self, after: list[int]) -> None:
        self.model.steps(after)
        self.model.cancel()

    @rule(longer=st.integers(0, 2), after=STEPS)
    def another_client_attaches(self, longer: int, after: list[int]) -> None:
        self.model.steps(after)
        self.model.attach_another(longer)

    @rule(seconds=st.sampled_from((1, 4, 50, 130, 600)), after=STEPS)
    def time_passes(self, seconds: int, after: list[int]) -> None:
        self.model.steps(after)
        self.model.pause(timedelta(seconds=seconds))

    @precondition(lambda self: self.model.outlook.open_sessions())
    @rule(after=STEPS)
    def session_expires(self, after: list[int]) -> None:
        self.model.steps(after)
        self.model.pause(timedelta(minutes=self.model.variant.session_minutes))

    @precondition(lambda self: self.model.is_recorded and len(self.model.transfers) < MAX_EVENTS)
    @rule()
    def event_is_repeated(self) -> None:
        requests = len(self.model.outlook.requests)
        self.model.begin()
        self.model.current.interrupted = True
        self.model.step()
        assert self.model.current.is_over, "a duplicate does more than one step"
        assert len(self.model.outlook.requests) == requests, "a duplicate sends requests to Outlook"

    @invariant()
    def nothing_is_attached_twice(self) -> None:
        attached = self.model.outlook.attachments(MAILBOX, ITEM)
        times = Counter(each.sha256 for each in attached if each.id not in self.model.foreign)
        for content in self.model.contents:
            count = times.pop(sha256(content).hexdigest(), 0)
            assert count <= 1, f"doubled: attached {count} times"
        assert not times, f"corrupted: {sum(times.values())} attachments of no content of the blob"

    @invariant()
    def no_secret_is_leaked(self) -> None:
        harness, logs = self.model.harness, self.model.trial.referee.logs
        outputs = [str(each.output) for each in harness.started]
        stored = "\n".join([harness.durable_state, *outputs, *logs])
        shown = [each for each in self.model.outlook.secrets() if each in stored]
        assert not shown, f"leaked: {len(shown)} secrets"

    def teardown(self) -> None:
        with self._running:
            # An example that failed, or that hypothesis discarded, has no end to judge.
            if sys.exception() is None and hasattr(self, "model"):
                self._judge()

    def _judge(self) -> None:
        findings = list(self.model.findings())
        tally = self._results.tally
        tally.add(f"example {tally.tried + 1}", len(self.model.faults.fired), findings)
        states = [each.transfer.status for each in self.model.transfers]
        self._results.ends.update(each.state if each else "none" for each in states)
        assert not findings, "\n".join(map(str, findings))


def run(testbed: Testbed, number: int, how: settings, product: Product = AS_SHIPPED) -> Results:
    """Run the machines of a seed over this testbed; the results."""
    results = Results()

    @seed(number)
    class Transfers(TransferMachine):
        def __init__(self) -> None:
            super().__init__(testbed, results, product)

    run_state_machine_as_test(Transfers, settings=how)
    return results


# Shrinking a failure takes minutes.
@pytest.mark.timeout(420)
@pytest.mark.parametrize("number", SEEDS)
def test_no_order_of_events_does_harm(testbed: Testbed, add_tally: AddTally, number: int) -> None:
    """After every event nothing is doubled or leaked; at the end every figure is zero."""
    results = run(testbed, number, SETTINGS)
    add_tally(FIGURE, results.tally)
    assert results.tally.fired > 0
    assert len(results.ends) > 1


@pytest.mark.parametrize(
    ("product", "figure"),
    [
        (Product(attacher=WithoutReconciling), "doubled"),
        (Product(graph=EarlyRetry), "early"),
        (Product(graph=LoggedUrl), "leaked"),
    ],
    ids=["no reconcile", "early retry", "upload URL logged"],
)
def test_a_broken_product_is_detected(testbed: Testbed, product: Product, figure: str) -> None:
    """Some order of events gives the expected figure."""
    unshrunk = settings(SETTINGS, phases=[Phase.generate])
    for number in SEEDS_FOR_BROKEN:
        try:
            run(testbed, number, unshrunk, product)
        except AssertionError as error:
            if f"{figure}: " in str(error):
                return
    raise AssertionError(f"no order of events gave a finding {figure}")
