"""The inputs and results of the activities that record and announce the end of a transfer.

Like all payloads they are stored in Durable's history: without a secret and without content.
"""

from shared.transfer.payloads import BlobVersion, Payload, RecordedStatus, TransferStatus


class RecordAttachment(Payload):
    """The input of ``record_attachment``: the end of a transfer, for the blob's metadata.

    ``content`` is the content that the transfer was requested for; ``run``: see :class:`Job`.
    ``etag`` is the version of the blob that is attached, if it is to be proved: a blob without MD5
    may have been overwritten since.
    """

    transfer_id: str
    run: str = ""
    etag: str | None = None
    content: BlobVersion | None = None
    status: TransferStatus
    record: RecordedStatus

    @property
    def item(self) -> str:
        """The item as text, empty if there is none."""
        return str(self.status.item or "")


class Announced(Payload):
    """The result of ``announce_end``."""

    sent: bool
