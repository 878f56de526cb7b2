"""What Application Insights gets from the local stack, by the worker's own exporter."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from infra.local.drop import drop
from infra.local.stack import MAILBOXES, Stack
from tests.support.event_grid_topic import Topic, running_topic
from tests.support.waiting import until

MAILBOX = MAILBOXES[0]
# As in README, but for the endpoint; then settings that keep the exporter on this machine.
IN_AZURE = {
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "Authorization=AAD",
    "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "true",
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "azure_sdk,requests,urllib,urllib3",
    "OTEL_TRACES_SAMPLER": "microsoft.fixed_percentage",
    "OTEL_TRACES_SAMPLER_ARG": "1",
}
HERE = {
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
    "OTEL_BSP_SCHEDULE_DELAY": "100",
    "OTEL_BLRP_SCHEDULE_DELAY": "100",
    "OTEL_METRIC_EXPORT_INTERVAL": "200",
}


@pytest.fixture(scope="module")
def ingestion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topic]:
    """A server over TLS that records requests, in place of Application Insights."""
    with running_topic(tmp_path_factory.mktemp("ingestion")) as server:
        yield server


@pytest.fixture(scope="module")
def exporting_stack(ingestion: Topic) -> Iterator[Stack]:
    """A stack that exports telemetry."""
    root = ingestion.url.removesuffix("api/events")
    key = "11111111-1111-1111-1111-111111111111"
    address = f"InstrumentationKey={key};IngestionEndpoint={root};LiveEndpoint={root}"
    settings = {"APPLICATIONINSIGHTS_CONNECTION_STRING": address, **IN_AZURE, **HERE}
    settings |= {"RANGE_BYTES": "1000000", "RANGES_PER_ACTIVITY": "2"}
    with pytest.MonkeyPatch.context() as environment:
        # The environment has priority over the settings of a stack.
        environment.setenv("REQUESTS_CA_BUNDLE", str(ingestion.authority))
        with Stack(settings=settings) as running:
            yield running


def exported(ingestion: Topic, kind: str) -> list[dict[str, Any]]:
    """The exported data of this type: its fields, and the id of its trace as ``trace``."""
    tracked = [body for path, _, body in list(ingestion.requests) if path.endswith("/track")]
    return [
        each["data"]["baseData"] | {"trace": each.get("tags", {}).get("ai.operation.id")}
        for body in tracked
        for each in body
        if each["data"]["baseType"] == kind
    ]


def metrics(ingestion: Topic) -> Counter[str]:
    """The sums of the app's metrics."""
    sums: Counter[str] = Counter()
    for each in exported(ingestion, "MetricData"):
        for metric in each["metrics"]:
            sums[metric["name"].removeprefix("blob_to_outlook.")] += metric["value"]
    return sums


def test_application_insights_gets_all_of_a_transfer_once(
    exporting_stack: Stack, ingestion: Topic
) -> None:
    """Trace, log and metrics, with a token of the app's identity, and no secret."""
    item = exporting_stack.outlook.add_item(MAILBOX, "message")
    to = f"{MAILBOX}/messages/{item}"
    id_ = drop(exporting_stack.info, bytes(5_000_000), "a.bin", to, "text/plain").transfer_id
    until(lambda: metrics(ingestion)["transfers"] or None)
    until(
        lambda: [e for e in exported(ingestion, "MessageData") if "ended" in e["message"]] or None
    )

    def spans() -> list[dict[str, Any]] | None:
        found = exported(ingestion, "RemoteDependencyData")
        return found if any(span["name"] == "record_attachment" for span in found) else None

    dependencies = until(spans)
    assert {span["trace"] for span in dependencies} == {id_.replace("-", "")}
    assert Counter(span["name"] for span in dependencies) == {
        "inspect_blob": 1,
        "create_upload_session": 1,
        "GET /": 3,
        "POST /": 1,
        "upload_ranges": 3,
        "PUT /": 5,
        "record_attachment": 1,
    }
    ours = [e for e in exported(ingestion, "MessageData") if id_ in e["message"]]
    assert ["started" in e["message"] for e in ours] == [True, False]
    assert {e["properties"]["transfer_id"] for e in ours} == {id_}
    sums = metrics(ingestion)
    assert (sums["bytes"], sums["ranges"], sums["transfers"]) == (5_000_000, 5, 1)
    headers = [str(h["Authorization"]) for path, h, _ in ingestion.requests if "track" in path]
    assert all(header.startswith("Bearer ") for header in headers)
    everything = json.dumps([body for _, _, body in ingestion.requests])
    assert not [secret for secret in exporting_stack.outlook.secrets() if secret in everything]
