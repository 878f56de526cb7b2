"""The harness itself: products that are broken on purpose must turn it red."""

from dataclasses import replace
from typing import Any

import pytest

from shared.outlook.graph_client import GraphClient
from shared.outlook.graph_response import GraphResponse, NoResponse
from shared.outlook.item import OutlookFile, OutlookItem
from shared.transfer.activities.attach_file import Attacher
from shared.transfer.activity_payloads import ActivityResult, FindAttachment, Job, UploadRanges
from tests.faults.bench import Bench
from tests.faults.schedules import TRANSIENT, draw, run
from tests.faults.test_single_faults import SHAPES, single_fault
from tests.faults.verdict import Figure
from tests.harness import Product

# Those that have faults enough to be broken by.
SEEDS = [seed for seed in range(1, 301) if draw(seed).faults_at_most > 1]


class BlindlyPosted(GraphClient):
    """Sends a small POST again when its answer was lost."""

    def attach_small_file(
        self, item: OutlookItem, file: OutlookFile, content: bytes
    ) -> GraphResponse:
        answer = super().attach_small_file(item, file, content)
        if answer.no_response is NoResponse.UNKNOWN or answer.status in {500, 502, 504}:
            answer = super().attach_small_file(item, file, content)
        return answer


class BlindlyPut(Attacher):
    """Puts every range again, in a new session, when the answer to the last one was lost."""

    def upload_ranges(self, work: UploadRanges) -> ActivityResult:
        step = super().upload_ranges(work)
        if step.outcome == "reconcile":
            return step.model_copy(update={"outcome": "new_session"})
        return step


class Unreconciled(Attacher):
    """Takes an unknown outcome for a failed one at once."""

    def find_attachment(self, _: FindAttachment) -> ActivityResult:
        return ActivityResult(outcome="not_attached")

    def attach_small_file(self, job: Job) -> ActivityResult:
        return super().attach_small_file(job.model_copy(update={"unsure": False}))

    def create_upload_session(self, job: Job) -> ActivityResult:
        return super().create_upload_session(job.model_copy(update={"unsure": False}))


class Impatient(GraphClient):
    """Does not hear ``Retry-After``."""

    def _send(self, *args: Any, **kwargs: Any) -> GraphResponse:
        answer = super()._send(*args, **kwargs)
        return replace(answer, retry_after=None if answer.retry_after is None else 0.0)


@pytest.mark.parametrize(
    ("product", "shape", "index", "figure"),
    [
        (Product(graph=BlindlyPosted), "post", 2, "doubled"),
        (Product(attacher=BlindlyPut), "session", 7, "doubled"),
        (Product(attacher=Unreconciled), "post", 2, "doubled"),
        (Product(attacher=Unreconciled), "session", 7, "doubled"),
        (Product(graph=Impatient), "post", 1, "early"),
    ],
    ids=["blind POST", "blind PUT", "no reconcile", "no reconcile of a session", "early retry"],
)
def test_a_single_fault_finds_a_broken_product_out(
    bench: Bench, product: Product, shape: str, index: int, figure: Figure
) -> None:
    """Some misbehaviour at the request that it is broken at shows the very fault it has."""
    for misbehaviour in TRANSIENT:
        if SHAPES[shape][2][index] in misbehaviour.kinds:
            found = single_fault(bench, shape, index, misbehaviour, product)
            if any(each.figure == figure for each in found):
                return
    raise AssertionError(f"{len(TRANSIENT)} misbehaviours did not find it {figure}")


@pytest.mark.parametrize(
    ("product", "figure"),
    [(Product(attacher=Unreconciled), "doubled"), (Product(graph=Impatient), "early")],
    ids=["no reconcile", "early retry"],
)
def test_the_schedules_find_a_broken_product_out(
    bench: Bench, product: Product, figure: Figure
) -> None:
    """Some schedule of a bounded set shows the very fault it has."""
    for seed in SEEDS:
        found = run(bench, draw(seed), product).findings
        if any(each.figure == figure for each in found):
            return
    raise AssertionError(f"{len(SEEDS)} schedules did not find it {figure}")
