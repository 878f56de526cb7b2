"""Timers of the local Functions host, which run on request."""

import pytest

from tests.support.host_app import KEY, HostApp

_KEY = {"x-functions-key": KEY}


def test_a_timer_runs_on_request(host_app: HostApp) -> None:
    """Regardless of the case of its name; the response is 202."""
    answer = host_app.call("POST", "/admin/functions/Hourly", headers=_KEY, json={"input": ""})

    assert answer.status_code == 202
    assert host_app.noted("hours") == ["past due: False"]


def test_a_failed_timer_is_logged(host_app: HostApp, caplog: pytest.LogCaptureFixture) -> None:
    """The response is 202 nevertheless."""
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
    """401 without the key, 404 for functions with another trigger."""
    answer = host_app.call("POST", f"/admin/functions/{name}", headers=headers)

    assert answer.status_code == status
