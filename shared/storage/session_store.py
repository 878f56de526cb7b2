"""The session store: what a transfer needs between activities and must not put into its history.

One blob per transfer in a private container of the app's own storage account, deleted when the
transfer ends. It holds the upload URL, which is a credential, and the ids of the attachments that
the item had before this transfer sent anything.
"""

import json
from dataclasses import dataclass
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import ContainerClient

from shared.errors import StorageUnavailable
from shared.secret import Secret
from shared.storage.storage_errors import BlobChanged, StorageNotFound, storage_errors


@dataclass(frozen=True, slots=True)
class SessionNotes:
    """The notes of one transfer.

    ``attempt`` is the number of the attempt that last wrote them. ``upload_url`` is None while
    there is no upload session. ``etag`` is that of the stored blob, empty for new notes.
    """

    attempt: int
    earlier_attachments: tuple[str, ...]
    upload_url: Secret | None = None
    etag: str = ""


class NotesTaken(StorageUnavailable):
    """Raised when another delivery of the same activity has written the notes in between."""

    def __init__(self, transfer_id: str) -> None:
        super().__init__(f"Another delivery of an activity works on transfer {transfer_id}.")


class SessionStore:
    """Reads and writes notes by transfer id."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

    def get(self, transfer_id: str) -> SessionNotes | None:
        """The transfer's notes, or None when there are none.

        Raises :class:`StorageUnavailable`.
        """
        try:
            with storage_errors(transfer_id):
                stream = self._container.download_blob(transfer_id)
                values = json.loads(stream.readall())
        except StorageNotFound:
            return None
        url = values["upload_url"]
        return SessionNotes(
            attempt=values["attempt"],
            earlier_attachments=tuple(values["earlier_attachments"]),
            upload_url=Secret(url, "upload URL") if url else None,
            etag=stream.properties.etag,
        )

    def put(self, transfer_id: str, notes: SessionNotes) -> None:
        """Replace the stored notes if they have the ETag of these; without an ETag, create them.

        Of two deliveries of one activity at the same time, one raises :class:`NotesTaken`.
        Raises :class:`StorageUnavailable`.
        """
        try:
            with storage_errors(transfer_id):
                try:
                    self._upload(transfer_id, notes)
                except ResourceNotFoundError:
                    self._create_container()
                    self._upload(transfer_id, notes)
        except BlobChanged:
            raise NotesTaken(transfer_id) from None

    def _upload(self, transfer_id: str, notes: SessionNotes) -> None:
        etag = notes.etag
        values = {
            "attempt": notes.attempt,
            "earlier_attachments": notes.earlier_attachments,
            "upload_url": notes.upload_url.reveal() if notes.upload_url else "",
        }
        unchanged: dict[str, Any] = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
        try:
            self._container.upload_blob(
                transfer_id,
                json.dumps(values),
                overwrite=bool(etag),
                # The SDK's own retry would fail on the ETag of its first try.
                retry_total=0,
                **(unchanged if etag else {}),
            )
        except ResourceExistsError:
            raise NotesTaken(transfer_id) from None

    def delete(self, transfer_id: str) -> None:
        """Delete the transfer's notes, if there are any.

        Raises :class:`StorageUnavailable`.
        """
        try:
            with storage_errors(transfer_id):
                self._container.delete_blob(transfer_id)
        except StorageNotFound:
            return

    def _create_container(self) -> None:
        try:
            self._container.create_container()
        except ResourceExistsError:
            return
