"""What the app records of transfers: traces, metrics, fields of the log."""

import logging
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from infra.local.outlook import Fault, Kind, Misbehaviour, Rules, catalogue
from shared.transfer.activities.attach_file import Attacher
from shared.transfer.activities.telemetry import add_transfer_id_to_logs, trace_of
from shared.transfer.activity_payloads import ActivityResult, CancelUploadSession, Job
from tests.conftest import MakeHarness
from tests.support.engine.virtual_engine import VirtualEngine
from tests.support.harness import Harness, Product
from tests.support.telemetry import Telemetry
from tests.support.virtual_app import MAILBOX

R = 1_000_000
ONLY_SESSIONS = Rules(maximum_post_bytes=2_000, minimum_session_bytes=1)


def begin(harness: Harness, name: str, size: int) -> VirtualEngine:
    """A transfer of so many bytes, about to start."""
    item = harness.emulator.add_item(MAILBOX, "message")
    harness.put(name, bytes(size), mailbox=MAILBOX, messageid=item)
    return harness.begin(name)


def context(span: ReadableSpan) -> SpanContext:
    found: SpanContext | None = span.context
    assert found is not None
    return found


def trace_ids(spans: list[ReadableSpan]) -> set[str]:
    return {f"{context(span).trace_id:032x}" for span in spans}


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def count(telemetry: Telemetry, *names: str) -> list[int]:
    """The sums of these counters."""
    figures = telemetry.figures()
    points = [figures.get(f"blob_to_outlook.{name}", {}).values() for name in names]
    return [sum(point.value for point in each) for each in points]


def outcomes(telemetry: Telemetry) -> dict[tuple[str, ...], int]:
    """The transfers that ended, by outcome and code."""
    points = telemetry.figures().get("blob_to_outlook.transfers", {})
    return {key: point.value for key, point in points.items()}


def test_a_transfer_is_one_trace(make_harness: MakeHarness, telemetry: Telemetry) -> None:
    """Its activities and their calls, with the transfer's id; another transfer is another trace."""
    harness = make_harness(ONLY_SESSIONS, range_bytes=R, ranges_per_activity=2)
    engines = [begin(harness, name, 3 * R) for name in ("a", "b")]
    ids = [engine.instance_id for engine in engines]
    for engine in engines:
        engine.run()
    assert trace_ids(telemetry.spans) == {id_.replace("-", "") for id_ in ids}
    first = [span for span in telemetry.spans if trace_ids([span]) == {ids[0].replace("-", "")}]
    activities = [span for span in first if span.kind is SpanKind.INTERNAL]
    assert [span.name for span in activities] == engines[0].performed
    assert {attributes(span)["transfer_id"] for span in activities} == {ids[0]}
    by_id = {context(span).span_id: span.name for span in activities}
    calls = [span for span in first if span.kind is SpanKind.CLIENT]
    parents = [(span.name, by_id[span.parent.span_id]) for span in calls if span.parent]
    assert parents == [
        *[("GET 127.0.0.1", "create_upload_session")] * 2,
        ("POST 127.0.0.1", "create_upload_session"),
        *[("PUT 127.0.0.1", "upload_ranges")] * 2,
        ("GET 127.0.0.1", "upload_ranges"),
        ("PUT 127.0.0.1", "upload_ranges"),
    ]


def test_an_instance_id_of_another_form_has_a_trace_of_its_own() -> None:
    """Another program may start the orchestration with any id."""
    assert trace_of("my transfer") is None


def test_calls_are_recorded_without_their_urls(
    make_harness: MakeHarness, telemetry: Telemetry
) -> None:
    """Only method, host, status and client-request-id are recorded."""
    harness = make_harness()
    begin(harness, "a", 10).run()
    post = next(span for span in telemetry.spans if span.name.startswith("POST"))
    (sent,) = [each for each in harness.emulator.requests if each.kind == "small_post"]
    assert attributes(post) == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "server.address": "127.0.0.1",
        "server.port": int(harness.emulator.url.rsplit(":", 1)[1]),
        "http.response.status_code": 201,
        "client_request_id": sent.headers["client-request-id"],
    }


def test_bytes_and_ranges_are_what_outlook_accepted(
    make_harness: MakeHarness, telemetry: Telemetry
) -> None:
    """By a session and by a POST."""
    harness = make_harness(ONLY_SESSIONS, range_bytes=R, ranges_per_activity=2)
    begin(harness, "large", 3 * R + 1).run()
    assert count(telemetry, "bytes", "ranges") == [3 * R + 1, 4]
    begin(harness, "small", 10).run()
    assert count(telemetry, "bytes", "ranges", "throttled", "resynchronisations") == [10, 0, 0, 0]


@pytest.mark.parametrize(
    ("kind", "misbehaviour", "seen"),
    [
        ("range", catalogue.throttled("7"), [1, 1]),
        ("create", catalogue.throttled("7", status=503), [1, 0]),
        ("range", catalogue.failed_after_acceptance(502), [0, 1]),
    ],
)
def test_throttling_and_resynchronisation_are_counted(
    make_harness: MakeHarness,
    telemetry: Telemetry,
    kind: Kind,
    misbehaviour: Misbehaviour,
    seen: list[int],
) -> None:
    """Each throttling response, and each query of the state of a session."""
    harness = make_harness(ONLY_SESSIONS, range_bytes=R)
    harness.emulator.faults.add(Fault(misbehaviour=misbehaviour, kind=kind))
    assert begin(harness, "a", 3 * R).run()["state"] == "attached"
    assert count(telemetry, "throttled", "resynchronisations") == seen


def test_every_end_is_counted_once(make_harness: MakeHarness, telemetry: Telemetry) -> None:
    """By outcome and code, including transfers without a record."""
    harness = make_harness(ONLY_SESSIONS, range_bytes=R)
    begin(harness, "attached", 5 * R).run()
    cancelled = begin(harness, "cancelled", 5 * R)
    cancelled.raise_event("cancel")
    cancelled.run()
    superseded = begin(harness, "superseded", 5 * R)
    superseded.run_until("create_upload_session")
    harness.put("superseded", b"new")
    superseded.run()
    late = begin(harness, "overwritten before it began", 5 * R)
    harness.put("overwritten before it began", b"new")
    late.run()
    harness.put("unaddressed", b"x")
    harness.begin("unaddressed").run()
    harness.emulator.clear()
    harness.emulator.faults.add(Fault(misbehaviour=catalogue.forbidden(), kind="list"))
    begin(harness, "failed", 5 * R).run()
    assert outcomes(telemetry) == {
        ("attached", ""): 1,
        ("cancelled", ""): 1,
        ("superseded", "Superseded"): 2,
        ("unaddressed", "Unaddressed"): 1,
        ("failed", "PermissionMissing"): 1,
    }


def test_a_duplicate_of_what_is_attached_counts_no_second_end(
    make_harness: MakeHarness, telemetry: Telemetry
) -> None:
    """It ends when it reads the record."""
    harness = make_harness()
    id_, payload = begin(harness, "a", 10).instance_id, harness.start("a")[1]
    harness.start_engine(id_, payload).run()
    harness.start_engine(id_, payload).run()
    assert outcomes(telemetry) == {("attached", ""): 1}


def test_a_transfer_near_its_deadline_is_counted_once(
    make_harness: MakeHarness, telemetry: Telemetry
) -> None:
    """When it continues after 80% of its time, however many activities follow."""
    harness = make_harness(
        ONLY_SESSIONS, range_bytes=R, ranges_per_activity=1, transfer_deadline_minutes=10
    )
    throttled = catalogue.throttled("481")
    begin(harness, "in time", 5 * R).run()
    assert count(telemetry, "near_deadline") == [0]
    harness.emulator.clear()
    harness.emulator.faults.add(Fault(misbehaviour=throttled, kind="range", occurrence=2))
    late = begin(harness, "late", 5 * R)
    assert late.run()["state"] == "attached"
    assert late.performed.count("upload_ranges") > 4
    assert count(telemetry, "near_deadline") == [1]


def test_the_wait_for_the_mailbox_is_recorded(
    make_harness: MakeHarness, telemetry: Telemetry
) -> None:
    """In seconds, by each activity that got its lock: here one of three waits for the window."""
    harness = make_harness(
        ONLY_SESSIONS,
        range_bytes=R,
        ranges_per_activity=3,
        mailbox_window_bytes=4_000_000,
        mailbox_window_seconds=300,
    )
    engine = begin(harness, "a", 6 * R)
    engine.run()
    (wait,) = telemetry.figures()["blob_to_outlook.budget_wait"].values()
    # The third of these got no lock.
    assert engine.performed.count("upload_ranges") == 3
    assert wait.count == 3
    assert wait.sum == pytest.approx(sum(engine.waits))
    assert wait.max == pytest.approx(300)


def test_a_refusal_has_graphs_request_id(
    make_harness: MakeHarness, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """In the span of the call, in the log line and in the record."""
    caplog.set_level(logging.INFO)
    harness = make_harness()
    harness.emulator.faults.add(Fault(misbehaviour=catalogue.forbidden(), kind="list"))
    end = begin(harness, "a", 10).run()
    (refused,) = [each for each in harness.emulator.requests if each.status == 403]
    request_id = refused.answer_headers["request-id"]
    (span,) = [each for each in telemetry.spans if each.name.startswith("GET")]
    assert (span.status.status_code, attributes(span)["request_id"]) == (
        StatusCode.ERROR,
        request_id,
    )
    assert request_id in end["error"]["message"]
    assert request_id in caplog.text
    (failed,) = [each for each in telemetry.spans if each.name == "attach_small_file"]
    assert attributes(failed)["error.type"] == "PermissionMissing"


class FailingAttacher(Attacher):
    """An attacher with a bug, whose error text has a secret."""

    def attach_small_file(self, _: Job) -> ActivityResult:
        raise RuntimeError("https://outlook.office.com/?authtoken=canary")

    def cancel_upload_session(self, _: CancelUploadSession) -> ActivityResult:
        return ActivityResult(outcome="progress")


def test_a_bug_is_recorded_by_its_type_only(
    make_harness: MakeHarness, telemetry: Telemetry
) -> None:
    """The span has the type of the exception, and not its text."""
    harness = make_harness(None, Product(attacher=FailingAttacher))
    engine = begin(harness, "a", 10)
    while not engine.is_over:
        engine.advance()
    (span,) = [each for each in telemetry.spans if each.name == "attach_small_file"]
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert attributes(span)["error.type"] == "RuntimeError"
    assert "canary" not in span.to_json()


@pytest.fixture
def named_log() -> Iterator[None]:
    """The log as the app sets it up."""
    before = logging.getLogRecordFactory()
    add_transfer_id_to_logs()
    yield
    logging.setLogRecordFactory(before)


@pytest.mark.usefixtures("named_log")
def test_the_log_names_the_transfer_in_a_field(
    make_harness: MakeHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """From start to end, with any text; a record of no transfer has none."""
    caplog.set_level(logging.INFO, logger="shared")
    harness = make_harness()
    harness.emulator.faults.add(Fault(misbehaviour=catalogue.throttled("1"), kind="list"))
    engine = begin(harness, "a", 10)
    engine.run()
    logging.getLogger("shared").info("of no transfer")
    ours = [record for record in caplog.records if record.name.startswith("shared")]
    named = [getattr(record, "transfer_id", None) for record in ours]
    assert named == [engine.instance_id] * 3 + [None]
