"""Timers of the local Functions host, which run when they are told to."""

import pytest

from tests.support.host_app import KEY, HostApp

_KEY = {"x-functions-key": KEY}


def test_a_timer_runs_when_it_is_told_to(host_app: HostApp) -> None:
    """Whatever the case of its name; 202 says that it was accepted."""
    answer = host_app.call("POST", "/admin/functions/Hourly", headers=_KEY, json={"input": ""})

    assert answer.status_code == 202
    assert host_app.noted("hours") == ["past due: False"]


def test_a_timer_that_fails_says_so_in_the_log(
    host_app: HostApp, caplog: pytest.LogCaptureFixture
) -> None:
    """Its caller is told no more than that it was accepted."""
    answer = host_app.call("POST", "/admin/functions/late", headers=_KEY, json={"input": ""})

    assert answer.status_code == 202
    assert "late failed: RuntimeError: too late" in caplog.text


@pytest.mark.parametrize(
    ("name", "headers", "status"),
    [("hourly", {}, 401), ("echo", _KEY, 404), ("none", _KEY, 404)],
    ids=["no key", "no timer", "no function"],
)
def test_only_a_timer_is_run_and_only_with_the_key(
    host_app: HostApp, name: str, headers: dict[str, str], status: int
) -> None:
    """401 for a stranger, 404 for what has triggers of its own."""
    answer = host_app.call("POST", f"/admin/functions/{name}", headers=headers)

    assert answer.status_code == status
