"""A blob of the watched container, as its properties describe it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceBlob:
    """The properties of a blob at one moment.

    ``created`` is an ISO 8601 time. ``md5`` is the MD5 property in hex, empty when it is not set.
    The blob's writer supplies it, unverified. ``copy_status`` is that of the copy that made the
    blob, empty for other blobs; unless it is ``success``, ``size`` is that of the copy's source.
    ``has_endless_lease``: another client has leased it until it gives the lease back.
    """

    account: str
    container: str
    name: str
    etag: str
    size: int
    content_type: str
    created: str
    md5: str
    kind: str
    archived: bool
    metadata: Mapping[str, str]
    copy_status: str = ""
    is_directory: bool = False
    has_endless_lease: bool = False

    @property
    def is_copying(self) -> bool:
        """Whether its content is still being copied from another blob."""
        return self.copy_status == "pending"
