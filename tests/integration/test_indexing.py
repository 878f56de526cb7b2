"""``function_app.py`` as the Functions worker's own library indexes it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Indexing imports the app and keeps it in module state: a process of its own, as in Azure.
INDEX = """
import asyncio, json
from infra.local.functions_host.worker import main as worker
from pathlib import Path
index = asyncio.run(worker._index(Path.cwd()))
print(json.dumps([index["failure"], index["functions"]]))
"""
CONNECTION = "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=c2VjcmV0;"


def index(**settings: str) -> tuple[dict[str, str] | None, dict[str, list[dict[str, object]]]]:
    done = subprocess.run(
        [sys.executable, "-c", INDEX],
        env={"PYTHONPATH": str(Path.cwd()), **settings},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    failure, functions = json.loads(done.stdout.splitlines()[-1])
    return failure, {f["name"]: [json.loads(b) for b in f["bindings"]] for f in functions}


@pytest.fixture(scope="module")
def functions() -> dict[str, list[dict[str, object]]]:
    failure, functions = index(AzureWebJobsStorage=CONNECTION, SOURCE_CONTAINER="inbox")
    assert failure is None
    return functions


def test_the_blob_trigger_binds_the_client_and_not_the_content(
    functions: dict[str, list[dict[str, object]]],
) -> None:
    """Event Grid is its source, deferred binding is on, and it can start transfers."""
    bindings = {str(b["type"]): b for b in functions["blob_arrived"]}
    assert set(bindings) == {"blobTrigger", "durableClient"}
    trigger = bindings["blobTrigger"]
    assert trigger["path"] == "inbox/{name}"
    assert trigger["source"] == "EventGrid"
    assert trigger["connection"] == "AzureWebJobsStorage"
    assert trigger["properties"] == {"SupportsDeferredBinding": True}


def test_the_orchestrator_and_its_activities_are_there(
    functions: dict[str, list[dict[str, object]]],
) -> None:
    """With the names that histories and other programs use."""
    types = {name: bindings[0]["type"] for name, bindings in functions.items()}
    assert types["attach_blob"] == "orchestrationTrigger"
    assert {name for name, type_ in types.items() if type_ == "activityTrigger"} == {
        "BuiltIn__HttpActivity",
        "inspect_blob",
        "attach_small_file",
        "create_upload_session",
        "upload_ranges",
        "find_attachment",
        "cancel_upload_session",
        "record_attachment",
        "announce_end",
    }


def test_another_source_account_is_the_triggers_connection() -> None:
    """SourceStorage, if set, is the trigger's connection."""
    uri = "https://s.blob.core.windows.net"
    _, functions = index(AzureWebJobsStorage=CONNECTION, SourceStorage__blobServiceUri=uri)
    (trigger,) = [b for b in functions["blob_arrived"] if b["type"] == "blobTrigger"]
    assert trigger["connection"] == "SourceStorage"


def test_settings_that_cannot_work_stop_the_start() -> None:
    """Every fault is named in the worker's response."""
    failure, functions = index(RANGE_BYTES="0", GRAPH_CLOUD="mars")
    assert failure is not None
    assert functions == {}
    for name in ("RANGE_BYTES", "GRAPH_CLOUD", "AzureWebJobsStorage"):
        assert name in failure["message"]
