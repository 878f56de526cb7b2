"""The blob trigger: a new or overwritten blob of the watched container starts its transfer."""

import logging

import azure.durable_functions as df
import azure.functions as func
from azurefunctions.extensions.bindings.blob import BlobClient

from shared.errors import Permanent, StorageUnavailable
from shared.transfer.admission import FolderMarker
from shared.transfer.service.start import Starter
from shared.transfer.storage_policy import is_retryable

_LOG = logging.getLogger(__name__)


def blob_functions(starter: Starter, connection: str) -> df.Blueprint:
    """A blueprint with ``blob_arrived``, for the source container on this storage connection."""
    blueprint = df.Blueprint()

    @blueprint.blob_trigger(
        arg_name="blob",
        path=f"{starter.source.container}/{{name}}",
        connection=connection,
        source=func.BlobSource.EVENT_GRID,
    )
    @blueprint.durable_client_input(client_name="client")
    async def blob_arrived(blob: BlobClient, client: df.DurableFunctionsClient) -> None:
        """Start the transfer. The binding is a client, so that the host never reads the content."""
        try:
            started = await starter.from_blob(client, blob.blob_name)
        except FolderMarker:
            _LOG.debug("blob %r stands for a folder", blob.blob_name)
            return
        except (Permanent, StorageUnavailable) as error:
            if isinstance(error, StorageUnavailable) and is_retryable(error):
                raise
            # No such blob, an invalid name, or one that storage never lets the app read: no
            # metadata to write to, and nothing to retry.
            _LOG.warning("blob %r is not transferred: %s: %s", blob.blob_name, error.code, error)
            return
        if started.joined:
            _LOG.debug("blob %r joins transfer %s", blob.blob_name, started.id)

    return blueprint
