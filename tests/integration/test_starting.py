"""Starting a transfer: the address, the instance id, and no second start."""

import asyncio
import logging
from typing import Any, cast

import azure.durable_functions as df
import grpc
import pytest

from shared.transfer.service.start import Started
from shared.triggers.blob import blob_functions
from tests.conftest import MakeHarness
from tests.support.harness import Harness
from tests.support.virtual_app import MAILBOX

ADDRESS = {"mailbox": MAILBOX, "messageid": "M="}


class Refusal(grpc.RpcError):
    """An error of the engine."""

    def __init__(self, status: grpc.StatusCode) -> None:
        self._status = status

    def code(self) -> grpc.StatusCode:
        return self._status


class Engine:
    """Durable's client, whose engine refuses every start."""

    def __init__(self, status: grpc.StatusCode) -> None:
        self.status = status

    async def schedule_new_orchestration(self, *_: object, **__: object) -> str:
        raise Refusal(self.status)


def start(harness: Harness, engine: Engine) -> Started:
    client = cast("df.DurableFunctionsClient", engine)
    return asyncio.run(harness.starter.from_blob(client, "x"))


def test_the_same_event_gives_the_same_id(make_harness: MakeHarness) -> None:
    """Also after a write of metadata; another item or content gives another id."""
    harness = make_harness()
    harness.put("x", b"1", **ADDRESS)
    first, _ = harness.start("x")
    harness.container.get_blob_client("x").set_blob_metadata({**ADDRESS, "seen": "yes"})
    assert harness.start("x")[0] == first
    harness.container.get_blob_client("x").set_blob_metadata({**ADDRESS, "messageid": "N="})
    assert harness.start("x")[0] != first
    harness.put("x", b"2", **ADDRESS)
    assert harness.start("x")[0] != first


def test_a_running_transfer_is_joined(make_harness: MakeHarness) -> None:
    """The engine has the id already: nothing is started, nothing fails."""
    harness = make_harness()
    harness.put("x", b"1", **ADDRESS)
    assert start(harness, Engine(grpc.StatusCode.ALREADY_EXISTS)).joined


@pytest.mark.parametrize("address", [{"mailbox": MAILBOX, "messageid": "none"}, {}])
def test_the_event_of_a_record_starts_nothing(
    make_harness: MakeHarness, address: dict[str, str]
) -> None:
    """A run that only reads the record would hold the id when a user requests a transfer."""
    harness = make_harness()
    harness.put("x", b"1", **address)
    id_, _ = harness.start("x")
    harness.transfer("x")
    assert harness.metadata("x")["attachmentstatus"] in {"failed", "unaddressed"}
    assert start(harness, Engine(grpc.StatusCode.UNAVAILABLE)) == Started(id_, joined=True)


def test_the_record_of_other_content_does_not_stop_an_event(make_harness: MakeHarness) -> None:
    """An upload that keeps the metadata has the record of what was there before."""
    harness = make_harness()
    harness.put("x", b"1", mailbox=MAILBOX, messageid="none")
    harness.transfer("x")
    harness.put("x", b"2", **harness.metadata("x"))
    with pytest.raises(grpc.RpcError):
        start(harness, Engine(grpc.StatusCode.UNAVAILABLE))


def test_a_failing_engine_is_not_mistaken_for_a_duplicate(make_harness: MakeHarness) -> None:
    """The error is raised to the trigger, whose event is delivered again."""
    harness = make_harness()
    harness.put("x", b"1", **ADDRESS)
    with pytest.raises(grpc.RpcError):
        start(harness, Engine(grpc.StatusCode.UNAVAILABLE))


def test_a_blob_deleted_before_the_trigger_runs_is_logged(
    make_harness: MakeHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """There is no blob to write to, and another delivery would not help."""
    harness = make_harness()
    app = df.DFApp()
    app.register_functions(blob_functions(harness.starter, "AzureWebJobsStorage"))
    (blob_arrived,) = [f for f in app.get_functions() if f.get_function_name() == "blob_arrived"]
    function: Any = blob_arrived.get_user_function()
    blob = harness.container.get_blob_client("gone.pdf")
    with caplog.at_level(logging.WARNING):
        asyncio.run(function.client_function(blob=blob, client=None))
    assert "BlobDeleted" in caplog.text
    assert "gone.pdf" in caplog.text
