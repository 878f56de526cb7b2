"""Every app setting that is read is set or has a default, and every one that is set is read."""

import json
import re
from pathlib import Path

import pytest

from infra.offline.bicep import Template
from infra.offline.settings import app_settings
from shared.settings import HOST_STORAGE, SOURCE_STORAGE, Settings

ROOT = Path(__file__).parents[3]
HOST_JSON = (ROOT / "host.json").read_text()

# What the Functions host and its extensions read, each with who it is.
PLATFORM = {
    "APPLICATIONINSIGHTS_CONNECTION_STRING": "where the host and the app send telemetry",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "the same: by which identity to send",
    "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "the worker: it sets up the exporter",
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "OpenTelemetry, which the worker sets up",
    "OTEL_TRACES_SAMPLER": "OpenTelemetry, which the worker sets up",
    "OTEL_TRACES_SAMPLER_ARG": "OpenTelemetry, which the worker sets up",
    "MALLOC_MMAP_THRESHOLD_": "the C library: larger pieces of memory go back to the system",
    "PYTHON_THREADPOOL_THREAD_COUNT": "the worker: threads of activities and orchestrators",
    "DURABLE_TASK_SCHEDULER_CONNECTION_STRING": "Durable's extension, by connectionStringName",
    "AzureFunctionsJobHost__extensions__durableTask__storageProvider__type": "over host.json",
    "AzureFunctionsJobHost__extensions__durableTask__storageProvider__connectionStringName": (
        "over host.json"
    ),
}
# What a connection by identity is made of: Blob, Queue and Table by the host; Blob by the app, and
# Table for its ledger.
CONNECTIONS = {
    HOST_STORAGE: {
        "credential",
        "clientId",
        "blobServiceUri",
        "queueServiceUri",
        "tableServiceUri",
    },
    SOURCE_STORAGE: {"credential", "clientId", "blobServiceUri", "queueServiceUri"},
}
# Flex Consumption refuses these: the plan's own properties say it.
REFUSED = {
    "FUNCTIONS_EXTENSION_VERSION",
    "FUNCTIONS_WORKER_RUNTIME",
    "WEBSITE_RUN_FROM_PACKAGE",
    "SCM_DO_BUILD_DURING_DEPLOYMENT",
    "ENABLE_ORYX_BUILD",
}


@pytest.fixture(scope="module")
def settings(templates: dict[str, Template]) -> dict[str, str]:
    return app_settings(templates)


def read_by_code() -> dict[str, bool]:
    """Names of the plain app settings, and whether each has a default."""
    return {name.upper(): not each.is_required() for name, each in Settings.model_fields.items()}


def named_in_host_json() -> set[str]:
    return set(re.findall("%([^%]+)%", HOST_JSON))


def connection_settings() -> set[str]:
    return {f"{name}__{part}" for name, parts in CONNECTIONS.items() for part in parts}


def test_what_is_read_is_set_or_has_a_default(settings: dict[str, str]) -> None:
    """By the code, by host.json, and by the connections of triggers and clients."""
    needed = {name for name, has_default in read_by_code().items() if not has_default}
    assert needed | named_in_host_json() | connection_settings() <= set(settings)


def test_what_is_set_is_read(settings: dict[str, str]) -> None:
    """Nothing is set that nobody reads, or that the plan refuses."""
    read = set(read_by_code()) | named_in_host_json() | connection_settings() | set(PLATFORM)
    assert set(settings) - read == set()
    assert set(settings) & REFUSED == set()


def test_the_connections_of_host_json_are_set(settings: dict[str, str]) -> None:
    """Durable's task hub is where ``AzureWebJobsStorage`` is."""
    provider = json.loads(HOST_JSON)["extensions"]["durableTask"]["storageProvider"]
    assert provider["connectionName"] in CONNECTIONS


def test_defaults_of_the_template_are_those_of_the_code(templates: dict[str, Template]) -> None:
    """Those few that the template must know itself; all others it leaves to the code."""
    parameters = templates["main.bicep"].parameters
    for parameter, field in (
        ("sourceContainer", "source_container"),
        ("sessionContainer", "session_container"),
        ("transferDeadlineMinutes", "transfer_deadline_minutes"),
    ):
        assert parameters[parameter]["default"] == Settings.model_fields[field].default


def test_settings_left_empty_are_the_codes_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """azd puts an empty text where nothing was set; one that got through would do no harm."""
    for name in read_by_code():
        monkeypatch.setenv(name, "")
    assert Settings() == Settings.model_construct()


def test_readme_names_every_setting() -> None:
    """Whoever runs ``azd env set`` finds the name there."""
    readme = (ROOT / "README.md").read_text()
    assert [name for name in read_by_code() if f"`{name}`" not in readme] == []
