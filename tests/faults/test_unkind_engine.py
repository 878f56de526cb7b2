"""The unkind engine itself: it answers as Azure's does, and a delivery stops where it should."""

from collections.abc import Iterator
from typing import Any, cast

import azure.durable_functions as df
import grpc
import pytest
from durabletask.client import OrchestrationQuery

from shared.transfer.service.instances import find_instances, raise_event
from tests.support.engine.adversary import Adversary
from tests.support.engine.stalled_delivery import Delivery
from tests.support.in_memory.unkind_app import UnkindApp
from tests.support.in_memory.unkind_client import Answered
from tests.support.virtual_app import MAILBOX

type Client = df.DurableFunctionsClient


@pytest.fixture
def app() -> Iterator[UnkindApp]:
    made = UnkindApp(Adversary("test", {}))
    item = made.add_message()
    made.blobs.put("a", b"hello", None, {"mailbox": MAILBOX, "messageid": item})
    yield made
    made.close()


def client_of(app: UnkindApp) -> Client:
    return cast("Client", app.client)


def finish(app: UnkindApp) -> None:
    while app.step_once():
        pass


def test_a_query_of_large_pages_is_refused(app: UnkindApp) -> None:
    """The default of the SDK is too large; the app asks for pages that are not."""
    id_ = app.deliver("a")
    with pytest.raises(Answered) as refused:
        app.loop.run(app.client.get_all_orchestration_states(OrchestrationQuery()))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    found = app.loop.run(find_instances(client_of(app), id_prefix=id_[:16]))
    assert [each.instance_id for each in found] == [id_]


def test_a_purge_takes_a_running_instance_and_its_activities_run_on(app: UnkindApp) -> None:
    """By id, a purge does not look at the status."""
    id_ = app.deliver("a")
    app.loop.run(app.client.purge_orchestration(id_))
    assert app.latest(id_) is None
    finish(app)
    assert app.adversary.fired["purge of a run"] == 1
    assert app.adversary.fired["delivered as an orphan"] == 1


def test_the_second_of_two_starts_replaces_the_first(app: UnkindApp) -> None:
    """Both succeed; the first one's activity goes on, and the file is attached once."""
    id_ = app.deliver("a")
    first = app.latest(id_)
    assert first is not None
    app.start(id_, first.payload)
    finish(app)
    assert app.adversary.fired["start replaces a run"] == 1
    second = app.latest(id_)
    assert second is not first
    assert second is not None
    assert second.output is not None
    assert second.output["state"] == "attached"
    (item,) = app.service.tenant.mailboxes.find(MAILBOX).items
    assert len(app.attachments(item)) == 1


def test_an_event_needs_a_running_receiver(app: UnkindApp) -> None:
    """Both refusals are answers for the app, not errors."""
    id_ = app.deliver("a")
    assert app.loop.run(raise_event(client_of(app), id_, "cancel"))
    finish(app)
    assert not app.loop.run(raise_event(client_of(app), id_, "cancel"))
    assert not app.loop.run(raise_event(client_of(app), "missing", "cancel"))
    assert app.adversary.fired["event refused"] == 1
    assert app.adversary.fired["event without receiver"] == 1


@pytest.mark.parametrize(("characters", "fails"), [(8_000, False), (8_200, True)])
def test_a_custom_status_is_limited(app: UnkindApp, characters: int, *, fails: bool) -> None:
    """16 KB of UTF-16: one more fails the orchestration."""
    engine = app.new_engine("status", {"blob": "a"})
    engine._note_status(f'"{"x" * characters}"')
    assert (engine.failed is not None) == fails


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_killed_delivery_has_no_further_effect(app: UnkindApp, after: int) -> None:
    """Not even by what it does at its end, such as releasing its lock."""
    delivery = Delivery(lambda: _reads(app), stop_after=after, killed=True)
    assert delivery.proceed()
    assert delivery.was_killed
    assert delivery.result is None
    assert app.blobs.names() == ["a", *(f"written {n}" for n in range(after))]


def test_a_stalled_delivery_goes_on_where_it_stopped(app: UnkindApp) -> None:
    """Whatever happens meanwhile, it runs only when it has to."""
    delivery = Delivery(lambda: _reads(app), stop_after=2)
    assert not delivery.proceed()
    assert len(app.blobs.names()) == 3
    assert delivery.proceed()
    assert delivery.result == {}
    assert len(app.blobs.names()) == 6


def _reads(app: UnkindApp) -> dict[str, Any]:
    try:
        for n in range(4):
            app.blobs.upload_blob(f"written {n}", "")
    finally:
        app.blobs.upload_blob("at the end", "")
    return {}
