"""Blob triggers in the local Functions host."""

from collections import Counter

import pytest

from tests.support.host_app import HostApp, wait_until


def _fired(host_app: HostApp) -> Counter[str]:
    return Counter(host_app.noted("blobs"))


def test_blob_that_was_there_before_the_host_fires(host_app: HostApp) -> None:
    """The host fires for blobs that were uploaded before it started."""
    wait_until(lambda: _fired(host_app)["in/early=first"] == 1)


def test_blob_fires_once_for_each_content(host_app: HostApp) -> None:
    """A new blob fires once and an overwritten one once more; others of the container never."""
    host_app.container.upload_blob("out/elsewhere", b"?")
    host_app.container.upload_blob("in/deep/ü %41 &", b"old")
    wait_until(lambda: _fired(host_app)["in/deep/ü %41 &=old"] == 1)
    host_app.container.upload_blob("in/deep/ü %41 &", b"new", overwrite=True)
    wait_until(lambda: _fired(host_app)["in/deep/ü %41 &=new"] == 1)

    host_app.container.upload_blob("in/last", b"")
    wait_until(lambda: _fired(host_app)["in/last="] == 1)

    assert max(_fired(host_app).values()) == 1
    assert not [line for line in _fired(host_app) if line.startswith("out/")]


def test_many_blobs_fire_once_each(host_app: HostApp) -> None:
    """A hundred blobs at once are a hundred invocations."""
    names = [f"in/many/{number}" for number in range(100)]
    for name in names:
        host_app.container.upload_blob(name, b"m")

    wait_until(lambda: {f"{name}=m" for name in names} <= _fired(host_app).keys())

    assert all(_fired(host_app)[f"{name}=m"] == 1 for name in names)


def test_failing_blob_is_delivered_five_times_and_is_poison_then(
    host_app: HostApp, caplog: pytest.LogCaptureFixture
) -> None:
    """A blob whose function raises is given up loudly, until it changes."""
    host_app.container.upload_blob("in/bad", b"1")
    wait_until(lambda: "POISON: blob_came failed 5 times for in/bad" in caplog.text)

    assert _fired(host_app)["in/bad=1"] == 5

    host_app.container.upload_blob("in/bad", b"2", overwrite=True)
    wait_until(lambda: _fired(host_app)["in/bad=2"] == 5)
    assert _fired(host_app)["in/bad=1"] == 5
