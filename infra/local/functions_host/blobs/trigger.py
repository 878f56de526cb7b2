"""Blob triggers: polls the listing of a container and fires for new and changed blobs."""

import asyncio
import json
import logging
from collections.abc import Mapping

import aiohttp

from infra.local.functions_host.app_settings import resolved, setting
from infra.local.functions_host.blobs.listing import BlobListing
from infra.local.functions_host.blobs.path import BlobPath
from infra.local.functions_host.errors import InvocationFailedError, WorkerUnavailableError
from infra.local.functions_host.functions import Function
from infra.local.functions_host.invoker import Invoker
from infra.local.functions_host.worker.rpc import Value

_POLL_SECONDS = 0.5
_MAX_CONCURRENT = 16
_MAX_DELIVERIES = 5
_FIRST_BACKOFF_SECONDS = 0.1

logger = logging.getLogger(__name__)


class BlobTrigger:
    """Fires one function for every existing blob, and again whenever a blob's ETag changes.

    It fires when only metadata is written, as the polling source of Azure's trigger does and its
    Event Grid source does not. A failed invocation is delivered again, five times in all, unless
    the blob has changed or is gone; then the blob is poison until its next ETag. The known ETags
    are not kept when the host stops.
    """

    def __init__(self, function: Function, invoke: Invoker, settings: Mapping[str, str]) -> None:
        """Raises :class:`AppConfigError` when the binding needs a setting that is missing."""
        self._function = function
        self._invoke = invoke
        self._connection = str(function.trigger.get("connection") or "AzureWebJobsStorage")
        self._path = BlobPath.parse(resolved(function.trigger["path"], settings))
        self._listing = BlobListing(setting(self._connection, settings), self._path.container)
        self._etags: dict[str, str] = {}
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)

    async def run(self) -> None:
        """Poll until cancelled."""
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as deliveries:
            while True:
                for name, etag in (await self._changed_blobs(session)).items():
                    deliveries.create_task(self._deliver(name, etag))
                await asyncio.sleep(_POLL_SECONDS)

    async def _changed_blobs(self, session: aiohttp.ClientSession) -> dict[str, str]:
        """The ETags of the blobs that are new or changed since the last poll, by name."""
        try:
            listed = await self._listing.etags(session)
        except (aiohttp.ClientError, TimeoutError) as error:
            logger.warning("Container %s could not be listed: %s", self._path.container, error)
            return {}
        found = {name: etag for name, etag in listed.items() if self._path.matches(name)}
        changed = {name: etag for name, etag in found.items() if self._etags.get(name) != etag}
        self._etags = found
        return changed

    async def _deliver(self, name: str, etag: str) -> None:
        for attempt in range(_MAX_DELIVERIES):
            if self._etags.get(name) != etag:
                return
            try:
                async with self._slots:
                    await self._invoke(self._function, self._blob_client(name))
            except InvocationFailedError as error:
                logger.warning(
                    "%s failed for %s (%d of %d): %s\n%s",
                    *(self._function.name, name, attempt + 1, _MAX_DELIVERIES, error, error.stack),
                )
            except WorkerUnavailableError as error:
                logger.error("%s was not called for %s: %s", self._function.name, name, error)  # noqa: TRY400
                return
            else:
                return
            await asyncio.sleep(_FIRST_BACKOFF_SECONDS * 2**attempt)
        logger.critical(
            "POISON: %s failed %d times for %s", self._function.name, _MAX_DELIVERIES, name
        )

    def _blob_client(self, name: str) -> Value:
        """A reference from which the worker creates a ``BlobClient``; no content is read."""
        content = {
            "Connection": self._connection,
            "ContainerName": self._path.container,
            "BlobName": name,
        }
        reference = {
            "version": "1.0",
            "source": "AzureStorageBlobs",
            "content_type": "application/json",
            "content": json.dumps(content),
        }
        return Value(kind="model_binding_data", value=reference)
