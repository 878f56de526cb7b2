"""Runs a timer's function on request: ``POST /admin/functions/{name}``, as in Azure.

This host does not run timers on their schedules.
"""

import json
import logging
from collections.abc import Iterable
from http import HTTPStatus

from aiohttp import web

from infra.local.functions_host.errors import HostError
from infra.local.functions_host.functions import Function
from infra.local.functions_host.invoker import Invoker
from infra.local.functions_host.worker.rpc import Value

_TIMER = json.dumps({"Schedule": {}, "ScheduleStatus": None, "IsPastDue": False})

logger = logging.getLogger(__name__)


class TimerRuns:
    """Calls the timer function that the path names."""

    def __init__(self, timers: Iterable[Function], invoke: Invoker) -> None:
        self._timers = {function.name.lower(): function for function in timers}
        self._invoke = invoke

    async def handle(self, request: web.Request) -> web.Response:
        """Respond to one request: 404 for another name than a timer's, 202 after the run.

        A failed run is 202 too, as in Azure: the failure is in the log.
        """
        function = self._timers.get(request.match_info["name"].lower())
        if function is None:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        try:
            await self._invoke(function, Value(kind="json", value=_TIMER))
        except HostError as error:
            logger.error("%s failed: %s", function.name, error)  # noqa: TRY400
        return web.Response(status=HTTPStatus.ACCEPTED)
