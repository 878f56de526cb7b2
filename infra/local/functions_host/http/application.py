"""Everything the host serves over HTTP, as one aiohttp application."""

from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from infra.local.functions_host.functions import Function
from infra.local.functions_host.http.event_grid import EventGridWebhook
from infra.local.functions_host.http.keys import require_key
from infra.local.functions_host.http.routes import add_function_routes
from infra.local.functions_host.http.timer_runs import TimerRuns
from infra.local.functions_host.http.trigger import HttpTrigger
from infra.local.functions_host.invoker import Invoker
from infra.local.functions_host.triggers import Triggers

_MAX_BODY_BYTES = 100 * 1024 * 1024


def http_application(
    triggers: Triggers, invoke: Invoker, *, route_prefix: str, key: str
) -> web.Application:
    """The application that serves HTTP triggers, Event Grid's webhook and runs of timers.

    Raises :class:`AppConfigError` for a route that this host cannot match.
    """

    def handler(function: Function) -> Handler:
        trigger = HttpTrigger(function, invoke)
        level = str(function.trigger.get("authLevel", "function")).lower()
        return trigger.handle if level == "anonymous" else require_key(trigger.handle, key)

    webhook = EventGridWebhook(triggers.event_grid, invoke)
    timers = TimerRuns(triggers.timer, invoke)
    app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[_without_body])
    app.router.add_route("*", "/", _running)
    app.router.add_route("*", "/runtime/webhooks/eventgrid", require_key(webhook.handle, key))
    app.router.add_post("/admin/functions/{name}", require_key(timers.handle, key))
    add_function_routes(app.router, triggers.http, route_prefix, handler)
    return app


@web.middleware
async def _without_body(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Where no function matches, Azure answers 404 without a body, even if only the method differs.

    aiohttp would send a body, and 405 for the method.
    """
    try:
        return await handler(request)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        return web.Response(status=HTTPStatus.NOT_FOUND)


async def _running(_request: web.Request) -> web.Response:
    return web.Response(text="Functions host is running.")
