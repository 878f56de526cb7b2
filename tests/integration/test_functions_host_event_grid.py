"""The Event Grid webhook of the local Functions host."""

from typing import Any

import pytest

from tests.support.host_app import KEY, HostApp

_PATH = "/runtime/webhooks/eventgrid"
_QUERY = {"functionName": "event_came", "code": KEY}
_NOTIFICATION = {"aeg-event-type": "Notification"}


def _event(identity: str, kind: str = "Good") -> dict[str, Any]:
    return {
        "id": identity,
        "eventType": kind,
        "subject": "a/b",
        "eventTime": "2025-01-02T03:04:05.678Z",
        "data": {},
        "dataVersion": "1",
    }


@pytest.mark.parametrize(
    ("query", "status"),
    [({"code": "another"}, 401), ({"code": ""}, 401), ({"functionName": "none"}, 404)],
    ids=["wrong key", "no key", "no function"],
)
def test_delivery_needs_the_key_and_a_function(
    host_app: HostApp, query: dict[str, str], status: int
) -> None:
    """401 without the key, 404 for an unknown function."""
    answer = host_app.call("POST", _PATH, params=_QUERY | query, headers=_NOTIFICATION, json=[])

    assert answer.status_code == status


def test_subscription_is_validated_by_its_code(host_app: HostApp) -> None:
    """The response has the code that Event Grid sent."""
    event = _event("v") | {"data": {"validationCode": "512d38b6"}}

    answer = host_app.call(
        "POST",
        _PATH,
        params=_QUERY,
        headers={"aeg-event-type": "SubscriptionValidation"},
        json=[event],
    )

    assert (answer.status_code, answer.json()) == (200, {"validationResponse": "512d38b6"})


def test_cloud_events_handshake_allows_the_origin(host_app: HostApp) -> None:
    """The response allows the requesting origin."""
    origin = {"WebHook-Request-Origin": "eventgrid.azure.net"}

    answer = host_app.call("OPTIONS", _PATH, params=_QUERY, headers=origin)

    assert answer.status_code == 200
    assert answer.headers["WebHook-Allowed-Origin"] == "eventgrid.azure.net"


def test_every_event_of_a_delivery_is_an_invocation(host_app: HostApp) -> None:
    """Two events in an array and one CloudEvent are three invocations."""
    events = [_event("one"), _event("two")]
    cloud = {"specversion": "1.0", "id": "three", "source": "/s", "type": "Good", "data": {}}

    pair = host_app.call("POST", _PATH, params=_QUERY, headers=_NOTIFICATION, json=events)
    single = host_app.call(
        "POST",
        _PATH,
        params=_QUERY,
        headers={"Content-Type": "application/cloudevents+json"},
        json=cloud,
    )

    assert (pair.status_code, single.status_code) == (202, 202)
    assert {"one", "two", "three"} <= set(host_app.noted("events"))


def test_event_that_fails_fails_its_delivery(host_app: HostApp) -> None:
    """One failed event makes the whole delivery 500, so that Event Grid retries it."""
    events = [_event("fine"), _event("not fine", kind="Bad")]

    answer = host_app.call("POST", _PATH, params=_QUERY, headers=_NOTIFICATION, json=events)

    assert answer.status_code == 500


@pytest.mark.parametrize("body", [b"{", b"[1]", b""], ids=["broken", "no object", "empty"])
def test_body_without_events_is_a_bad_request(host_app: HostApp, body: bytes) -> None:
    """A body that has no events is 400."""
    answer = host_app.call("POST", _PATH, params=_QUERY, headers=_NOTIFICATION, data=body)

    assert answer.status_code == 400
