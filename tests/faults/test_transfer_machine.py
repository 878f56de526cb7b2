"""Figure 1 in another way: hypothesis looks for the order of events that does harm.

A machine advances the transfers of one blob step by step; between any two steps the service
misbehaves, the blob changes, someone else writes to the item or time passes. What it finds is
shrunk to the fewest events, and printed as the calls that do it again.
"""

import logging
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

from shared.outlook.graph_client import GraphClient
from shared.outlook.upload_url import UploadUrl
from tests.faults.test_broken_products import Impatient, Unreconciled
from tests.support.faults.referee import Tally
from tests.support.faults.testbed import Bench, DatedSource
from tests.support.faults.transfer_model import ITEM, SURVIVED, World
from tests.support.faults.variants import FAULTS, WAYS, FaultOfKind, R, Way
from tests.support.figures import AddUp
from tests.support.harness import AS_SHIPPED, MAILBOX, Product

FIGURE = "figure 1: transfers as a state machine"
FAULTS_AT_MOST, EVENTS_AT_MOST = 8, 6
# The steps that the engine takes before an event: how often each is delivered.
STEPS = st.lists(st.sampled_from((1, 1, 2)), max_size=4)
SEEDS, SEEDS_FOR_BROKEN = range(4), range(20)
SETTINGS = settings(
    # Of more, hypothesis would make most by changing little in those it has.
    max_examples=10,
    stateful_step_count=15,
    deadline=None,
    database=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],
)


@dataclass
class Seen:
    """What the machines of a test came to: the figures, and how often transfers ended how."""

    tally: Tally = field(default_factory=Tally)
    ends: Counter[str] = field(default_factory=Counter)


class TransferMachine(RuleBasedStateMachine):
    """The rules by which a world of transfers goes on."""

    def __init__(self, bench: Bench, seen: Seen, product: Product) -> None:
        super().__init__()
        self._bench = bench
        self._seen = seen
        self._product = replace(product, source=DatedSource, timeouts=(20.0, 20.0))
        self._running = ExitStack()
        self.world: World

    @initialize(way=WAYS, faults=st.lists(FAULTS, max_size=SURVIVED))
    def a_file_is_dropped(self, way: Way, faults: list[FaultOfKind]) -> None:
        options = {
            "range_bytes": R,
            "ranges_per_activity": way.ranges_per_activity,
            "transfer_deadline_minutes": way.deadline_minutes,
        }
        trial = self._bench.trial(way.rules, self._product, **options)
        self.world = World(self._running.enter_context(trial), way)
        for fault in faults:
            self.world.faults.add(fault)

    @precondition(lambda self: self.world.goes_on)
    @rule(deliveries=st.sampled_from((1, 2)))
    def advance(self, deliveries: int) -> None:
        self.world.step(deliveries)

    @precondition(lambda self: self.world.goes_on)
    @precondition(lambda self: len(self.world.faults.fired) < FAULTS_AT_MOST)
    @rule(fault=FAULTS, after=STEPS)
    def next_request_goes_wrong(self, fault: FaultOfKind, after: list[int]) -> None:
        self.world.steps(after)
        self.world.faults.add(fault)

    @precondition(lambda self: self.world.blob_exists)
    @rule(value=st.integers(0, 9), after=STEPS)
    def metadata_is_written(self, value: int, after: list[int]) -> None:
        self.world.steps(after)
        self.world.write_metadata(value)

    @precondition(lambda self: self.world.may_interrupt)
    @rule(after=STEPS)
    def blob_is_overwritten(self, after: list[int]) -> None:
        self.world.steps(after)
        self.world.overwrite()

    @precondition(lambda self: self.world.may_interrupt and self.world.blob_exists)
    @rule(after=STEPS)
    def blob_is_deleted(self, after: list[int]) -> None:
        self.world.steps(after)
        self.world.delete()

    @precondition(lambda self: self.world.may_interrupt and self.world.goes_on)
    @rule(after=STEPS)
    def transfer_is_cancelled(self, after: list[int]) -> None:
        self.world.steps(after)
        self.world.cancel()

    @rule(longer=st.integers(0, 2), after=STEPS)
    def someone_else_attaches(self, longer: int, after: list[int]) -> None:
        self.world.steps(after)
        self.world.attach_another(longer)

    @rule(seconds=st.sampled_from((1, 4, 50, 130, 600)), after=STEPS)
    def time_passes(self, seconds: int, after: list[int]) -> None:
        self.world.steps(after)
        self.world.sleep(timedelta(seconds=seconds))

    @precondition(lambda self: self.world.outlook.open_sessions())
    @rule(after=STEPS)
    def session_expires(self, after: list[int]) -> None:
        self.world.steps(after)
        self.world.sleep(timedelta(minutes=self.world.way.session_minutes))

    @precondition(
        lambda self: self.world.is_recorded and len(self.world.transfers) < EVENTS_AT_MOST
    )
    @rule()
    def event_comes_again(self) -> None:
        asked = len(self.world.outlook.requests)
        self.world.begin()
        self.world.now.ended_from_outside = True
        self.world.step()
        assert self.world.now.is_over, "a duplicate does more than look"
        assert len(self.world.outlook.requests) == asked, "a duplicate asks Outlook"

    @invariant()
    def nothing_is_attached_twice(self) -> None:
        attached = self.world.outlook.attachments(MAILBOX, ITEM)
        times = Counter(each.sha256 for each in attached if each.id not in self.world.held)
        for content in self.world.contents:
            count = times.pop(sha256(content).hexdigest(), 0)
            assert count <= 1, f"doubled: attached {count} times"
        assert not times, f"corrupted: {sum(times.values())} attachments of no content of the blob"

    @invariant()
    def no_secret_is_shown(self) -> None:
        harness, logs = self.world.harness, self.world.trial.referee.logs
        outputs = [str(each.output) for each in harness.engines]
        kept = "\n".join([harness.kept, *outputs, *logs])
        shown = [each for each in self.world.outlook.secrets() if each in kept]
        assert not shown, f"leaked: {len(shown)} secrets"

    def teardown(self) -> None:
        with self._running:
            # What has failed, or was given up by hypothesis, has no end to be judged.
            if sys.exception() is None and hasattr(self, "world"):
                self._judge()

    def _judge(self) -> None:
        findings = list(self.world.findings())
        tally = self._seen.tally
        tally.add(f"example {tally.tried + 1}", len(self.world.faults.fired), findings)
        states = [each.transfer.status for each in self.world.transfers]
        self._seen.ends.update(each.state if each else "none" for each in states)
        assert not findings, "\n".join(map(str, findings))


def run(bench: Bench, number: int, how: settings, product: Product = AS_SHIPPED) -> Seen:
    """Run the machines of a seed over this bench; what they came to."""
    seen = Seen()

    @seed(number)
    class Transfers(TransferMachine):
        def __init__(self) -> None:
            super().__init__(bench, seen, product)

    run_state_machine_as_test(Transfers, settings=how)
    return seen


# The minutes are for shrinking, when something is wrong.
@pytest.mark.timeout(420)
@pytest.mark.parametrize("number", SEEDS)
def test_no_order_of_events_does_harm(bench: Bench, add_up: AddUp, number: int) -> None:
    """After every event nothing is doubled or shown; in the end every figure is zero."""
    seen = run(bench, number, SETTINGS)
    add_up(FIGURE, seen.tally)
    assert seen.tally.fired > 0
    assert len(seen.ends) > 1


class Talkative(GraphClient):
    """Logs the upload URL."""

    def upload_url(self, text: object) -> UploadUrl:
        logging.getLogger(__name__).info("the session is at %s", text)
        return super().upload_url(text)


@pytest.mark.parametrize(
    ("product", "figure"),
    [
        (Product(attacher=Unreconciled), "doubled"),
        (Product(graph=Impatient), "early"),
        (Product(graph=Talkative), "leaked"),
    ],
    ids=["no reconcile", "early retry", "upload URL logged"],
)
def test_a_broken_product_is_found_out(bench: Bench, product: Product, figure: str) -> None:
    """Some order of events shows the very fault it has."""
    unshrunk = settings(SETTINGS, phases=[Phase.generate])
    for number in SEEDS_FOR_BROKEN:
        try:
            run(bench, number, unshrunk, product)
        except AssertionError as error:
            if f"{figure}: " in str(error):
                return
    raise AssertionError(f"no order of events did find it {figure}")
