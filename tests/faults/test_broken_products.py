"""The fault tests themselves: they must detect products that are broken on purpose."""

from dataclasses import replace

import pytest

from tests.support.engine.adversary import Adversity
from tests.support.engine.virtual_engine import VERSION
from tests.support.faults import unkind_run, unkind_schedule
from tests.support.faults.broken_products import BlindPost, BlindPut, EarlyRetry, WithoutReconciling
from tests.support.faults.fault_sets import TRANSIENT
from tests.support.faults.findings import Figure
from tests.support.faults.schedule import draw
from tests.support.faults.schedule_run import run
from tests.support.faults.single_faults import SHAPES, single_fault
from tests.support.faults.testbed import Testbed
from tests.support.faults.unkind_products import (
    with_live_settings,
    with_purges,
    with_unfenced_locks,
    without_fence,
)
from tests.support.harness import Product
from tests.support.in_memory.unkind_app import Alter

# Those with more than one fault.
SEEDS = [seed for seed in range(1, 301) if draw(seed).max_faults > 1]


@pytest.mark.parametrize(
    ("product", "shape", "index", "figure"),
    [
        (Product(graph=BlindPost), "post", 3, "doubled"),
        (Product(attacher=BlindPut), "session", 10, "doubled"),
        (Product(attacher=WithoutReconciling), "post", 3, "doubled"),
        (Product(attacher=WithoutReconciling), "session", 10, "doubled"),
        (Product(graph=EarlyRetry), "post", 1, "early"),
    ],
    ids=["blind POST", "blind PUT", "no reconcile", "no reconcile of a session", "early retry"],
)
def test_a_single_fault_detects_a_broken_product(
    testbed: Testbed, product: Product, shape: str, index: int, figure: Figure
) -> None:
    """Some misbehaviour at the request that it mishandles gives the expected figure."""
    for misbehaviour in TRANSIENT:
        if SHAPES[shape][2][index] in misbehaviour.kinds:
            found = single_fault(testbed, shape, index, misbehaviour, product)
            if any(each.figure == figure for each in found):
                return
    raise AssertionError(f"{len(TRANSIENT)} misbehaviours gave no finding {figure}")


@pytest.mark.parametrize(
    ("alter", "figure", "adversities"),
    [
        (without_fence, "doubled", ("delivered after the end",)),
        (with_live_settings, "doubled", ("settings changed", "worker killed")),
        (with_purges, "purged", ()),
        (with_unfenced_locks, "crowded", ("stalled",)),
    ],
    ids=["a deleted fence", "live settings", "a purge before a start", "locks without a fence"],
)
def test_the_unkind_engine_detects_a_broken_product(
    alter: Alter, figure: Figure, adversities: tuple[Adversity, ...]
) -> None:
    """Some schedule with the adversity that it does not survive gives the expected figure.

    As shipped, the app survives the same schedule.
    """
    rates = dict.fromkeys(adversities, 0.4)
    for seed in range(1, 401):
        schedule = replace(unkind_schedule.draw(seed), rates=rates, version=VERSION)
        found = unkind_run.run(schedule, alter).findings
        if any(each.figure == figure for each in found) and not unkind_run.run(schedule).findings:
            return
    raise AssertionError(f"400 schedules gave no finding {figure}")


@pytest.mark.parametrize(
    ("product", "figure"),
    [(Product(attacher=WithoutReconciling), "doubled"), (Product(graph=EarlyRetry), "early")],
    ids=["no reconcile", "early retry"],
)
def test_the_schedules_detect_a_broken_product(
    testbed: Testbed, product: Product, figure: Figure
) -> None:
    """Some schedule of a bounded set gives the expected figure."""
    for seed in SEEDS:
        found = run(testbed, draw(seed), product).findings
        if any(each.figure == figure for each in found):
            return
    raise AssertionError(f"{len(SEEDS)} schedules gave no finding {figure}")
