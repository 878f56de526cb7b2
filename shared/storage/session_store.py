"""What version 1.0 kept of a transfer between activities; the ledger has taken its place.

One blob per transfer in a private container of the app's own storage account. It holds the upload
URL, which is a credential, and the ids of the attachments that the item had before. Transfers that
began under version 1.0 are read from here once, and their blobs are deleted.
"""

import json
from dataclasses import dataclass

from azure.storage.blob import ContainerClient

from shared.secret import Secret
from shared.storage.storage_errors import StorageNotFound, storage_errors


@dataclass(frozen=True, slots=True)
class SessionNotes:
    """The notes of one transfer.

    ``attempt`` is the number of the attempt that last wrote them. ``upload_url`` is None while
    there is no upload session.
    """

    attempt: int
    earlier_attachments: tuple[str, ...]
    upload_url: Secret | None = None


class SessionStore:
    """Reads and deletes notes by transfer id."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

    def get(self, transfer_id: str) -> SessionNotes | None:
        """The transfer's notes, or None when there are none.

        Raises :class:`~shared.errors.StorageUnavailable`.
        """
        try:
            with storage_errors(transfer_id):
                values = json.loads(self._container.download_blob(transfer_id).readall())
        except StorageNotFound:
            return None
        url = values["upload_url"]
        return SessionNotes(
            attempt=values["attempt"],
            earlier_attachments=tuple(values["earlier_attachments"]),
            upload_url=Secret(url, "upload URL") if url else None,
        )

    def delete(self, transfer_id: str) -> None:
        """Delete the transfer's notes, if there are any.

        Raises :class:`~shared.errors.StorageUnavailable`.
        """
        try:
            with storage_errors(transfer_id):
                self._container.delete_blob(transfer_id)
        except StorageNotFound:
            return
