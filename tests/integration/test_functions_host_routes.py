"""Which function a request reaches in the local Functions host."""

import asyncio
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.typedefs import Handler
from yarl import URL

from infra.local.functions_host.errors import AppConfigError
from infra.local.functions_host.functions import Function
from infra.local.functions_host.http.routes import add_function_routes, route_parameters

_ROUTES = ["{*all}", "a/{name}", "a/{id:guid}", "a/{x}.txt", "a/fixed", "b/{last?}", "c/{x}/{y}"]


def _function(route: str) -> Function:
    return Function(route, route, {"type": "httpTrigger", "name": "req", "route": route}, ())


def _handler(function: Function) -> Handler:
    """Answers with the function's name and the parameters of its route."""

    async def handle(request: web.Request) -> web.Response:
        return web.json_response([function.name, route_parameters(request)])

    return handle


def _application(*routes: str) -> web.Application:
    app = web.Application()
    add_function_routes(app.router, map(_function, routes), "api", _handler)
    return app


def _get(path: str) -> tuple[int, str]:
    async def get() -> tuple[int, str]:
        async with TestClient(TestServer(_application(*_ROUTES))) as client:
            response = await client.get(URL(path, encoded=True))
            return response.status, await response.text()

    return asyncio.run(get())


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
    """A path reaches the most specific route, in whichever order the functions come."""
    status, found = _get(path)

    assert status == 200
    assert json.loads(found) == [route, parameters]


def test_path_outside_the_prefix_is_not_found() -> None:
    """Even a route for everything begins with the prefix."""
    assert _get("/apix")[0] == 404


def test_constraint_the_host_does_not_know_is_named() -> None:
    """A route that could not be matched as Azure does is refused at start."""
    with pytest.raises(AppConfigError, match="datetime"):
        _application("on/{day:datetime}")
