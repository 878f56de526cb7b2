"""The timer trigger: purges what is kept of transfers that have ended."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

import azure.durable_functions as df
import azure.functions as func

from shared.errors import StorageUnavailable
from shared.settings import Settings
from shared.storage.ledger import Ledger
from shared.storage.listing import Listing
from shared.transfer.service.transfers import exists, purge_completed

# At three in the morning, UTC.
_DAILY = "0 0 3 * * *"

# Transfers that one call purges from the listing: what is left, the next day's does.
_AT_MOST = 100_000

_LOG = logging.getLogger(__name__)


def history_functions(
    settings: Settings, ledger: Ledger, listing: Listing, clock: Callable[[], datetime]
) -> df.Blueprint:
    """A blueprint with ``purge_history``."""
    blueprint = df.Blueprint()

    @blueprint.timer_trigger(arg_name="timer", schedule=_DAILY)
    @blueprint.durable_client_input(client_name="client")
    async def purge_history(
        timer: func.TimerRequest,  # noqa: ARG001 (the binding needs its argument)
        client: df.DurableFunctionsClient,
    ) -> None:
        """Purge ended transfers that are older than HISTORY_DAYS: histories, ledger, listing."""
        before = clock() - timedelta(days=settings.history_days)
        purged = await purge_completed(client, before)
        _LOG.info("purged the history of %d transfers from before %s", purged, f"{before:%F}")
        loop = asyncio.get_running_loop()

        def is_gone(transfer_id: str) -> bool:
            found = asyncio.run_coroutine_threadsafe(exists(client, transfer_id), loop)
            return not found.result()

        try:
            rows = await asyncio.to_thread(ledger.purge, before, is_gone)
            listed = await asyncio.to_thread(listing.purge, before, is_gone, _AT_MOST)
        except StorageUnavailable as error:
            _LOG.warning("the ledger is not purged today: %s", error)
            return
        _LOG.info("purged %d rows of the ledger, and %d transfers of the list", rows, listed)

    return blueprint
