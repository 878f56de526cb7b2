"""HTTP triggers in the local Functions host."""

import os

import pytest

from tests.support.host_app import KEY, HostApp, wait_until


@pytest.mark.parametrize(
    "credentials",
    [{}, {"headers": {"x-functions-key": "another"}}, {"params": {"code": "another"}}],
    ids=["no key", "wrong header", "wrong query"],
)
def test_function_with_a_key_refuses_requests_without_it(
    host_app: HostApp, credentials: dict[str, dict[str, str]]
) -> None:
    """Without the key the response is 401 and empty."""
    answer = host_app.call("GET", "/api/broken", **credentials)

    assert (answer.status_code, answer.content) == (401, b"")


@pytest.mark.parametrize(
    "credentials",
    [{"headers": {"x-functions-key": KEY}}, {"params": {"code": KEY}}],
    ids=["header", "query"],
)
def test_function_that_raises_is_500_without_a_body(
    host_app: HostApp, credentials: dict[str, dict[str, str]]
) -> None:
    """The key can be in a header or the query; the exception is not in the response."""
    answer = host_app.call("GET", "/api/broken", **credentials)

    assert (answer.status_code, answer.content) == (500, b"")


def test_method_selects_among_functions_of_one_route(host_app: HostApp) -> None:
    """Two functions share a route and differ by method."""
    read = host_app.call("GET", "/api/items/7?sort=up&empty=")
    deleted = host_app.call("DELETE", "/API/Items/7")

    assert (read.status_code, read.text) == (200, "read 7 {'sort': 'up'}")
    assert (deleted.status_code, deleted.content) == (204, b"")


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/api/items/7"), ("GET", "/api/items/seven"), ("GET", "/api/none"), ("GET", "/x")],
    ids=["method", "constraint", "route", "prefix"],
)
def test_request_without_a_function_is_not_found(host_app: HostApp, method: str, path: str) -> None:
    """A wrong method on a known route is 404 too, as in Azure."""
    assert host_app.call(method, path).status_code == 404


def test_rest_of_a_path_is_decoded_except_for_its_slashes(host_app: HostApp) -> None:
    """A catch-all parameter matches every segment; an encoded slash stays encoded."""
    assert host_app.call("GET", "/api/files/a%2Fb/%C3%BC%20c").text == "a%2Fb/ü c"


@pytest.mark.parametrize("size", [0, 200_000, 5_000_000])
def test_bytes_are_passed_unchanged(host_app: HostApp, size: int) -> None:
    """Status, headers and a binary body come back exactly."""
    body = os.urandom(size)

    answer = host_app.call("PATCH", "/api/echo", data=body)

    assert (answer.status_code, answer.content) == (201, body)
    assert answer.headers["X-Method"] == "PATCH"
    assert answer.headers["Content-Type"] == "application/x-odd"


def test_request_whose_worker_dies_is_not_repeated(host_app: HostApp) -> None:
    """It is 503, and another worker processes the next request."""
    started = len(host_app.pids)

    answer = host_app.call("GET", "/api/die")
    next_answer = host_app.call("GET", "/api/items/1")

    assert answer.status_code == 503
    assert next_answer.status_code == 200
    wait_until(lambda: len(host_app.pids) == started + 1)
    assert host_app.noted("died") == [str(host_app.pids[-2])]
