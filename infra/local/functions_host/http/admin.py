"""Runs a timer's function when it is told to: ``POST /admin/functions/{name}``.

The call that Azure has for it, too. By the clock, no timer is run here.
"""

import json
import logging
from collections.abc import Iterable
from http import HTTPStatus

from aiohttp import web

from infra.local.functions_host.errors import HostError
from infra.local.functions_host.functions import Function
from infra.local.functions_host.http.keys import holds_key
from infra.local.functions_host.invoker import Invoker
from infra.local.functions_host.worker.rpc import Value

PATH = "/admin/functions/{name}"
_TIMER = json.dumps({"Schedule": {}, "ScheduleStatus": None, "IsPastDue": False})

logger = logging.getLogger(__name__)


class AdminFront:
    """Calls the timer's function that the path names."""

    def __init__(self, timers: Iterable[Function], invoke: Invoker, *, key: str) -> None:
        self._timers = {function.name.lower(): function for function in timers}
        self._invoke = invoke
        self._key = key

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one call: 401 without the key, 404 for what is no timer, 202 when it has run.

        How it went is not told to the caller, as in Azure: a failure is in the log.
        """
        if not holds_key(request, self._key):
            return web.Response(status=HTTPStatus.UNAUTHORIZED)
        function = self._timers.get(request.match_info["name"].lower())
        if function is None:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        try:
            await self._invoke(function, Value(kind="json", value=_TIMER))
        except HostError as error:
            logger.error("%s failed: %s", function.name, error)  # noqa: TRY400
        return web.Response(status=HTTPStatus.ACCEPTED)
