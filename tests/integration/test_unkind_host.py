"""The unkind engine of the local stack: work is done again, late or for nothing."""

import json
from collections.abc import Iterator

import pytest

from infra.local.functions_host.durable.adversities import Adversities
from tests.support.host_app import HostApp, running_host_app

SEED = 7


@pytest.fixture(scope="module")
def adversities() -> Adversities:
    return Adversities(SEED)


@pytest.fixture(scope="module")
def unkind_app(
    azurite: str, tmp_path_factory: pytest.TempPathFactory, adversities: Adversities
) -> Iterator[HostApp]:
    with running_host_app(azurite, tmp_path_factory.mktemp("notes"), adversities) as app:
        yield app


def test_results_are_the_same_as_on_the_kind_engine(
    unkind_app: HostApp, adversities: Adversities
) -> None:
    """Activities run again and checkpoints are lost, but each result counts once."""
    for _ in range(60):
        assert unkind_app.end_of(unkind_app.start("add_up", [1, 2, 3])).serialized_output == "12"
        if adversities.fired["late duplicate"] and adversities.fired["lost checkpoint"]:
            return
    raise AssertionError(f"60 orchestrations had only {adversities.fired}")


def test_a_late_timer_wakes_its_orchestration(
    unkind_app: HostApp, adversities: Adversities, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every timer is late by a second; the history says when it was due."""
    monkeypatch.setattr(adversities, "timer_lateness", lambda _: 1.0)
    state = unkind_app.end_of(unkind_app.start("nap"))
    assert json.loads(state.serialized_output or "") == "rested"
    assert (state.last_updated_at - state.created_at).total_seconds() > 1
