"""Every alert queries something that is sent, and none rests on a metric alone."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.offline.bicep import INFRA, Template
from shared.outlook import graph_http
from shared.storage.ledger import Ledger
from shared.storage.listing import Listing
from shared.storage.session_store import SessionStore
from shared.storage.source_container import SourceContainer
from shared.transfer.activities.record_attachment import Recorder
from shared.transfer.activities.telemetry import traced_activity
from shared.transfer.activity_payloads import ActivityResult, Job, UploadRanges
from shared.transfer.end_payloads import RecordAttachment
from shared.transfer.payloads import Failure, TransferStatus
from shared.transfer.retry_policy import RESPONSE_RULES
from tests.support.in_memory.storage import MemoryContainer
from tests.support.in_memory.tables import MemoryTables

ID = "0123456789abcdef-0123456789abcdef"
MESSAGE = re.compile(r'message (\w+) "([^"]+)"')
OPERATORS = {"startswith": str.startswith, "endswith": str.endswith, "contains": str.__contains__}


def queries(templates: dict[str, Template]) -> dict[str, str]:
    """What each alert queries in Application Insights."""
    alerts: list[dict[str, Any]] = templates["app/alerts.bicep"].variables["queries"]
    return {alert["name"]: alert["query"] for alert in alerts}


def finds(query: str, message: str) -> bool:
    """Whether a query finds this record of the log."""
    traces = query.partition("traces |")[2].partition(")")[0]
    conditions = MESSAGE.findall(traces)
    return bool(conditions) and all(OPERATORS[how](message, text) for how, text in conditions)


def recorded(outcome: str, caplog: pytest.LogCaptureFixture) -> str:
    """The record of the log about a transfer that ended so."""

    def container(name: str) -> Any:
        return MemoryContainer(name, lambda: datetime.now(UTC)).as_client()

    error = None if outcome == "attached" else Failure(code="ItemNotFound", message="No item.")
    status = TransferStatus(blob="scan.pdf", error=error)
    work = RecordAttachment.model_validate({"transfer_id": ID, "status": status, "record": outcome})
    tables = MemoryTables().as_client()
    listing = Listing(tables, lambda: datetime.now(UTC))
    files, notes = SourceContainer(container("files")), SessionStore(container("notes"))
    recorder = Recorder(files, Ledger(tables), notes, listing)
    with caplog.at_level("INFO"):
        recorder.record(work)
    return caplog.records[-1].getMessage()


def test_no_alert_rests_on_a_figure_alone(templates: dict[str, Template]) -> None:
    """Figures are sent once a minute: a worker that is scaled in takes the last ones with it."""
    for name, query in queries(templates).items():
        if "customMetrics" in query:
            assert re.search(r"\b(traces|dependencies) \|", query), name


@pytest.mark.parametrize(
    ("outcome", "alerted"), [("failed", True), ("cancelled", False), ("attached", False)]
)
def test_a_transfer_that_failed_is_found_in_the_log(
    templates: dict[str, Template],
    caplog: pytest.LogCaptureFixture,
    outcome: str,
    *,
    alerted: bool,
) -> None:
    """As its end is logged; other ends are no alert."""
    record = recorded(outcome, caplog)
    assert finds(queries(templates)["transfers-failed"], record) is alerted


@pytest.mark.parametrize("near", [True, False])
def test_a_transfer_near_its_deadline_is_found_in_the_log(
    templates: dict[str, Template], caplog: pytest.LogCaptureFixture, *, near: bool
) -> None:
    """Once, when it is counted."""
    job = Job(
        transfer_id=ID,
        blob="scan.pdf",
        etag="",
        created="",
        md5="",
        size=1,
        mailbox="a@contoso.com",
        item_type="message",
        item_id="1",
        file_name="scan.pdf",
        content_type="application/pdf",
        activity_bytes=1,
        queue_seconds=1,
        deadline_seconds=1,
        reconcile_seconds=1,
        near_deadline=near,
    )

    def upload(_: UploadRanges) -> ActivityResult:
        return ActivityResult(outcome="progress")

    with caplog.at_level("INFO"):
        traced_activity("upload_ranges", upload)(UploadRanges(job=job, offset=0))
    query = queries(templates)["transfers-near-deadline"]
    found = [record for record in caplog.records if finds(query, record.getMessage())]
    assert len(found) == near


def test_every_answer_that_counts_as_throttled_is_found(templates: dict[str, Template]) -> None:
    """Among the calls, by their own attribute and by the statuses of the app's own table."""
    query = queries(templates)["outlook-throttles"]
    (attribute,) = re.findall(r"isnotempty\(tostring\(customDimensions\.(\w+)\)\)", query)
    (codes,) = re.findall(r"resultCode in \(([^)]+)\)", query)
    assert {int(code) for code in re.findall(r"\d+", codes)} == set(RESPONSE_RULES.throttled)
    assert f'set_attribute("{attribute}"' in Path(graph_http.__file__).read_text()


def test_events_that_are_lost_raise_an_alert(templates: dict[str, Template]) -> None:
    """Of both topics: those kept as dead letters, and those that are gone."""
    text = (INFRA / "app" / "alerts.bicep").read_text()
    found = re.findall(
        r"name: '(\w+)-(?:dead-lettered|dropped)'\s+topicId: (\w+)\s+.*\s+metric: '(\w+)'", text
    )
    assert sorted(found) == [
        ("events", "systemTopicId", "DeadLetteredCount"),
        ("events", "systemTopicId", "DroppedEventCount"),
        ("orders", "eventTopicId", "DeadLetteredCount"),
        ("orders", "eventTopicId", "DroppedEventCount"),
    ]


def test_the_workbook_is_of_this_app() -> None:
    """Without that it prompts for an Application Insights resource each time."""
    text = (INFRA / "app" / "workbook.bicep").read_text()
    assert "fallbackResourceIds: [ componentId ]" in text
    assert Path(INFRA / "app" / "workbook.json").read_text().count("fallbackResourceIds") == 0
