"""The timer trigger: purges the history of transfers that have ended."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

import azure.durable_functions as df
import azure.functions as func

from shared.settings import Settings
from shared.transfer.service.transfers import purge_completed

# At three in the morning, UTC.
_DAILY = "0 0 3 * * *"

_LOG = logging.getLogger(__name__)


def history_functions(settings: Settings, clock: Callable[[], datetime]) -> df.Blueprint:
    """A blueprint with ``purge_history``."""
    blueprint = df.Blueprint()

    @blueprint.timer_trigger(arg_name="timer", schedule=_DAILY)
    @blueprint.durable_client_input(client_name="client")
    async def purge_history(
        timer: func.TimerRequest,  # noqa: ARG001 (the binding needs its argument)
        client: df.DurableFunctionsClient,
    ) -> None:
        """Purge ended transfers that were created more than HISTORY_DAYS ago."""
        before = clock() - timedelta(days=settings.history_days)
        purged = await purge_completed(client, before)
        _LOG.info("purged the history of %d transfers from before %s", purged, f"{before:%F}")

    return blueprint
