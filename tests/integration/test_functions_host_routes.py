"""Which function a request finds in the local Functions host."""

import pytest

from infra.local.functions_host.errors import AppConfigError
from infra.local.functions_host.functions import Function
from infra.local.functions_host.http.routes import RouteTable


def _function(route: str) -> Function:
    return Function(route, route, {"type": "httpTrigger", "name": "req", "route": route}, ())


_TABLE = RouteTable(
    map(
        _function,
        ["{*all}", "a/{name}", "a/{id:guid}", "a/{x}.txt", "a/fixed", "b/{last?}", "c/{x}/{y}"],
    ),
    prefix="api",
)


@pytest.mark.parametrize(
    ("path", "route", "parameters"),
    [
        ("/api/a/FIXED", "a/fixed", {}),
        ("/api/a/note.txt", "a/{x}.txt", {"x": "note"}),
        (
            "/api/a/0f8fad5b-d9cb-469f-a165-70867728950e",
            "a/{id:guid}",
            {"id": "0f8fad5b-d9cb-469f-a165-70867728950e"},
        ),
        ("/api/a/J%C3%BCrgen", "a/{name}", {"name": "Jürgen"}),
        ("/api/b", "b/{last?}", {}),
        ("/api/b/z/", "b/{last?}", {"last": "z"}),
        ("/api/c/1/2", "c/{x}/{y}", {"x": "1", "y": "2"}),
        ("/api/d/e/f", "{*all}", {"all": "d/e/f"}),
        ("/api", "{*all}", {}),
    ],
)
def test_most_literal_route_wins(path: str, route: str, parameters: dict[str, str]) -> None:
    """A path finds the route that says most about it, whatever the order of the functions."""
    found = _TABLE.find("GET", path)

    assert found is not None
    assert (found[0].name, found[1]) == (route, parameters)


def test_path_outside_the_prefix_finds_nothing() -> None:
    """Even a route for everything begins with the prefix."""
    assert _TABLE.find("GET", "/apix") is None


def test_constraint_the_host_does_not_know_is_named() -> None:
    """A route that could not be matched as Azure does is refused at start."""
    with pytest.raises(AppConfigError, match="datetime"):
        RouteTable([_function("on/{day:datetime}")], prefix="api")
