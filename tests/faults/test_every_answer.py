"""Every status and every published code, as the response to each call, before and after its work.

The emulator's own account judges: no attachment lost, doubled or misreported.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import count

import pytest

from infra.local.outlook import Fault, Kind, Misbehaviour, Rules, catalogue
from infra.local.outlook.protocol.ids import canonical
from shared.transfer.workflow.stages import End
from tests.support.in_memory.steps import RANGE, AppWithoutLocks, Steps

RULES = Rules(minimum_session_bytes=1, maximum_post_bytes=2_000)
SMALL, LARGE = random.Random("small").randbytes(900), random.Random("large").randbytes(2_001)
# A large file's POST is refused first, so that it goes by a session of three ranges.
CALLS: dict[str, tuple[bytes, Sequence[Kind]]] = {
    "post": (SMALL, ("list", "get_item", "small_post")),
    "session": (LARGE, ("create", "range", "last_range")),
}
# The calls whose work attaches the file; those of other work are tried in one transfer.
ATTACHING: set[tuple[Kind, ...]] = {("small_post",), ("last_range",)}
DONE: tuple[tuple[bytes, tuple[Kind, ...]], ...] = (
    (SMALL, ("small_post",)),
    (LARGE, ("create", "range")),
    (LARGE, ("last_range",)),
)
STATUSES = range(300, 600)
UNKNOWN_CODE = "SomethingNew"
# The published codes, with the status that they come with.
CODES: dict[str, int] = {
    "ApplicationThrottled": 429,
    "TooManyRequests": 429,
    "activityLimitReached": 429,
    "ErrorIrresolvableConflict": 412,
    "ErrorItemNotFound": 404,
    "itemNotFound": 404,
    "ResourceNotFound": 404,
    "InvalidAuthenticationToken": 401,
    "unauthenticated": 401,
    "InvalidAudienceForResource": 401,
    "ErrorMailboxMoveInProgress": 400,
    "ErrorTimeoutExpired": 400,
    "ErrorInternalServerTransientError": 400,
    "ErrorMailboxStoreUnavailable": 400,
    "ErrorServerBusy": 403,
    "ErrorInternalServerError": 500,
    "serviceNotAvailable": 503,
    "generalException": 500,
    "InvalidContentRange": 416,
    "invalidRange": 416,
    "resourceModified": 409,
    "nameAlreadyExists": 409,
    "resyncRequired": 410,
    "quotaLimitReached": 507,
}
# A refusal that nothing but a change by somebody can end, from any call.
FINAL_CODES: dict[str, int] = {
    "ErrorAccessDenied": 403,
    "accessDenied": 403,
    "Authorization_RequestDenied": 403,
    "ErrorMessageSizeExceeded": 400,
    "ErrorAttachmentSizeLimitExceeded": 413,
    "ErrorQuotaExceeded": 507,
    "ErrorInvalidUser": 404,
    "MailboxNotEnabledForRESTAPI": 404,
    "MailboxNotHostedInExchangeOnline": 404,
    "ErrorAttachmentSessionIsSupportedOnlyForFileAttachments": 405,
    "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize": 400,
    "ErrorInvalidRequest": 400,
    "invalidRequest": 400,
    "BadRequest": 400,
    "RequestBodyRead": 400,
    "ErrorInvalidIdMalformed": 400,
    "ErrorPropertyValidationFailure": 400,
    "malwareDetected": 400,
    "notAllowed": 403,
    "notSupported": 400,
}
FINAL_STATUSES = {413, 507}
_NUMBERS = count()


class Answers:
    """One app, whose Outlook gives the answers of a test; ``findings`` is what went wrong."""

    def __init__(self, *, deadline_minutes: float = 240) -> None:
        self.app = AppWithoutLocks(
            rules=RULES,
            range_bytes=RANGE,
            ranges_per_activity=1,
            reconcile_seconds=3,
            transfer_deadline_minutes=deadline_minutes,
        )
        self.tried = 0
        self.findings: list[str] = []

    def run(self, content: bytes, *faults: Fault, deliveries: int = 1) -> tuple[End, int]:
        """Run one transfer with these faults; its end, and how often the file is attached."""
        service = self.app.service
        with service.lock:
            service.recorder.clear()
            service.faults.clear()
            service.faults.add(*faults)
        steps = Steps(self.app, next(_NUMBERS), content)
        end = steps.run(deliveries)
        self.tried += 1
        return end, self._judge(faults, steps, end)

    def must_attach(self, content: bytes, *faults: Fault) -> None:
        """Run one transfer; anything but an attachment is a finding."""
        end, _ = self.run(content, *faults)
        if end.state != "attached":
            self.findings.append(f"lost: {_names(faults)}: {end.error}")

    def open_sessions(self) -> int:
        """The upload sessions that are not finished, deleted or expired."""
        sessions = self.app.service.tenant.mailboxes.sessions()
        return sum(each.is_open(self.app.clock.now) for each in sessions)

    def report(self) -> str:
        """The first findings, one in a line."""
        return "\n".join([f"{len(self.findings)} of {self.tried}", *self.findings[:20]])

    def _judge(self, faults: Sequence[Fault], steps: Steps, end: End) -> int:
        attached = self.app.attachments(steps.item)
        found: list[str] = []
        if len(attached) > 1:
            found.append(f"doubled: attached {len(attached)} times")
        if any(
            each.content != self.app.blobs.blob(steps.machine.job.blob).content for each in attached
        ):
            found.append("corrupted")
        ids = {each.id for each in attached}
        if end.state == "attached" and canonical(end.attachment_id or "") not in ids:
            found.append("misreported: attached, but Outlook does not have it")
        if end.state != "attached" and attached:
            found.append(f"misreported: {end.error}, although it is attached")
        self.findings += [f"{each}: {_names(faults)}" for each in found]
        return len(attached)


def _names(faults: Sequence[Fault]) -> str:
    return ", ".join(f"{each.kind}: {each.misbehaviour.name}" for each in faults)


def before(status: int, code: str = UNKNOWN_CODE) -> Misbehaviour:
    """The answer, and nothing is done."""
    return catalogue.refused(status, code)


def after(status: int, code: str = UNKNOWN_CODE) -> Misbehaviour:
    """The work is done, and that is the answer."""
    return catalogue.failed_after_acceptance(status, code)


def each_call() -> Iterator[tuple[bytes, Kind]]:
    for content, kinds in CALLS.values():
        yield from ((content, kind) for kind in kinds)


@pytest.mark.parametrize("part", range(4))
def test_every_status_once_at_every_call(part: int) -> None:
    """Before the work, at every call of one transfer; after the work, of each kind of work."""
    answers = Answers()
    for status in STATUSES[part::4]:
        for content, kinds in CALLS.values():
            faults = [Fault(misbehaviour=before(status), kind=kind) for kind in kinds]
            if status in FINAL_STATUSES:
                answers.run(content, *faults)
            else:
                answers.must_attach(content, *faults)
        for content, kinds in DONE:
            if kinds in ATTACHING or status not in FINAL_STATUSES:
                faults = [Fault(misbehaviour=after(status), kind=kind) for kind in kinds]
                answers.must_attach(content, *faults)
    assert answers.tried + len(FINAL_STATUSES) >= 5 * len(STATUSES[part::4])
    assert not answers.findings, answers.report()


@pytest.mark.parametrize("codes", [CODES, FINAL_CODES], ids=["passing", "final"])
def test_every_published_code_once_at_every_call(codes: dict[str, int]) -> None:
    """In the case of the lists, and in another one. A final one may end the transfer."""
    answers = Answers()
    for code, status in codes.items():
        for content, kind in each_call():
            refusal = Fault(misbehaviour=before(status, code), kind=kind)
            if codes is FINAL_CODES or status in FINAL_STATUSES:
                answers.run(content, refusal)
            else:
                answers.must_attach(content, refusal)
            done = Fault(misbehaviour=after(status, code.upper()), kind=kind)
            if (kind,) in ATTACHING:
                answers.must_attach(content, done)
            else:
                answers.run(content, done)
    assert not answers.findings, answers.report()


@pytest.mark.parametrize("part", range(2))
def test_every_status_once_while_an_outcome_is_looked_for(part: int) -> None:
    """The query of the session's position, its deletion, the search and the comparison."""
    answers = Answers()
    for status in STATUSES[part::2]:
        lost = catalogue.lost_answer()
        faults = [Fault(misbehaviour=lost, kind=kind) for kind in ("range", "last_range")]
        looking: tuple[Kind, ...] = ("session_state", "cancel", "raw_content")
        faults += [Fault(misbehaviour=before(status), kind=kind) for kind in looking]
        # The third list is that of the search.
        faults.append(Fault(misbehaviour=before(status), kind="list", occurrence=3))
        answers.must_attach(LARGE, *faults)
    assert not answers.findings, answers.report()


ENDLESS = (
    *(302, 400, 401, 403, 404, 405, 408, 409, 410, 412, 413, 416, 418, 423, 425, 429, 451),
    *(500, 501, 502, 503, 504, 505, 507, 508, 509, 520, 524, 599),
)


@pytest.mark.parametrize("kind", ["list", "small_post", "create", "range", "last_range"])
def test_an_answer_without_end_ends_the_transfer(kind: Kind) -> None:
    """Before the work, at one call, for good: bounded requests, and the end says what was seen."""
    answers = Answers(deadline_minutes=60)
    content = next(content for content, kinds in CALLS.values() if kind in kinds)
    for status in ENDLESS:
        endless = Fault(misbehaviour=before(status), kind=kind, times=None)
        end, attached = answers.run(content, endless)
        requests = answers.app.service.recorder.requests
        assert len(requests) < 500, status
        if not attached:
            assert end.error is not None
            assert str(status) in end.error.message, end.error
    assert not answers.findings, answers.report()


@pytest.mark.parametrize("status", [408, 500, 503, 520])
def test_a_deletion_that_always_fails_does_not_stop_the_next_session(status: int) -> None:
    """The session that is gone is left to expire after a few tries."""
    answers = Answers()
    gone = Fault(misbehaviour=before(410), kind="range")
    endless = Fault(misbehaviour=before(status), kind="cancel", times=None)
    answers.must_attach(LARGE, gone, endless)
    kinds = [each.kind for each in answers.app.service.recorder.requests]
    assert kinds.count("cancel") < 10
    assert not answers.findings, answers.report()


@pytest.mark.parametrize("change", [str.upper, str.lower, str.swapcase, str.capitalize])
def test_every_key_in_another_case(change: Callable[[str], str]) -> None:
    """Of every answer: attached once, and no session is left open."""
    answers = Answers()
    fault = Fault(misbehaviour=catalogue.other_case(change), index=0, times=None)
    for content in (SMALL, LARGE):
        answers.must_attach(content, fault)
    assert answers.open_sessions() == 0
    assert not answers.findings, answers.report()


@pytest.mark.parametrize("times", [1, 3])
def test_a_session_whose_creation_cannot_be_read_is_not_left_open(times: int) -> None:
    """Its URL is in the text: the session is deleted before another one is created."""
    answers = Answers()
    unreadable = catalogue.unreadable(lambda body: body + b"]", kinds=frozenset({"create"}))
    answers.must_attach(LARGE, Fault(misbehaviour=unreadable, kind="create", times=times))
    assert answers.open_sessions() == 0
    assert not answers.findings, answers.report()


@pytest.mark.parametrize("kind", ["small_post", "last_range"])
def test_an_answer_without_end_after_the_work_attaches_once(kind: Kind) -> None:
    """The service carries out every try: the first one is found, and there is no second."""
    answers = Answers()
    content = next(content for content, kinds in CALLS.values() if kind in kinds)
    for status in STATUSES[::7]:
        answers.must_attach(content, Fault(misbehaviour=after(status), kind=kind, times=None))
    assert not answers.findings, answers.report()
