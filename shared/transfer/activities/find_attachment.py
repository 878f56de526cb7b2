"""Searches an item for the attachment of an attempt with unknown outcome.

An attachment that was not there before and has the file's name is a candidate. Its bytes decide,
since another client may attach a file of that name at the same time. Graph's ``size`` differs from
the file's, and the bytes of a large attachment cannot always be read: see "After the upload" in
docs/protocol.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import BlobDeleted, OutcomeUnknown, Superseded
from shared.outlook.graph_client import GraphClient, ListedAttachment
from shared.storage.source_container import SourceContainer
from shared.storage.storage_errors import BlobChanged
from shared.transfer.activities.blob_reader import (
    ContentUncertain,
    RestartRequired,
    check_same_content,
)
from shared.transfer.activity_payloads import Job
from shared.transfer.retry_policy import decide
from shared.transfer.retry_table import Action, Call

# Graph's size of an attachment is the file's and some more: 1.05 times as much occurs.
_MIN_RATIO, _MAX_RATIO, _OVERHEAD = 0.95, 1.5, 65_536


def max_reported_size(size: int) -> float:
    """The largest size that Graph may report for an attachment of ``size`` bytes."""
    return size * _MAX_RATIO + _OVERHEAD


class Throttled(Exception):
    """Raised for a response with a Retry-After; ``retry_after`` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class SearchResult:
    """``own`` is the id of this transfer's attachment, None if it was not found.

    ``foreign`` are candidates with other bytes; ``unread``: some candidates could not be read.
    """

    own: str | None = None
    foreign: tuple[str, ...] = ()
    unread: bool = False


@dataclass(frozen=True, slots=True)
class AttachmentFinder:
    """Finds the attachment that an earlier attempt may have made."""

    graph: GraphClient
    source: SourceContainer

    def find(
        self,
        job: Job,
        earlier: Sequence[str],
        listed: Sequence[ListedAttachment],
        *,
        is_last_attempt: bool,
    ) -> SearchResult:
        """Search the item's attachments, except those that were there ``earlier``.

        On the last attempt, a single candidate whose bytes cannot be read counts as found.
        Raises :class:`OutcomeUnknown` if the candidates do not allow a decision,
        :class:`Throttled` and :class:`StorageUnavailable`.
        """
        known = set(earlier)
        candidates = [
            each
            for each in listed
            if each.name == job.file_name and each.id not in known and _is_plausible(job, each)
        ]
        if not candidates:
            return SearchResult()
        content = self._content(job)
        unread: list[str] = []
        foreign: list[str] = []
        for each in candidates:
            md5 = self._md5(job, each, is_last_attempt=is_last_attempt)
            if md5 in content.md5s:
                return SearchResult(own=each.id)
            (foreign if md5 and content.is_certain else unread).append(each.id)
        if not unread or not is_last_attempt:
            return SearchResult(foreign=tuple(foreign), unread=bool(unread))
        if not content.is_certain or len(unread) > 1:
            raise OutcomeUnknown
        return SearchResult(own=unread[0])

    def _md5(self, job: Job, candidate: ListedAttachment, *, is_last_attempt: bool) -> str:
        """The MD5 of a candidate's bytes, empty if they cannot be read now."""
        response, md5 = self.graph.attachment_md5(job.item, candidate.id)
        row = decide(Call.COMPARE, response)
        if row.action is Action.RETRY:
            raise Throttled(response.retry_after or 0.0)
        if row.action is Action.GIVE_UP and is_last_attempt:
            # It was listed a moment ago, and no other search will show whether it is gone.
            raise OutcomeUnknown
        return md5

    def _content(self, job: Job) -> "_Content":
        """The MD5s that the job's content may have.

        The MD5 property of the blob is unverified: it counts only for bytes that no longer exist.
        """
        unverified = frozenset({job.md5} - {""})
        try:
            blob = self.source.look(job.blob)
            etag, is_certain = blob.etag, True
            if etag != job.etag:
                check_same_content(job, blob)
        except (RestartRequired, ContentUncertain):
            # It may be the same content: no MD5 proves it or rules it out.
            is_certain = bool(unverified)
        except (Superseded, BlobDeleted):
            return _Content(unverified, is_certain=bool(unverified))
        try:
            digest = self.source.md5_of(blob)
        except (BlobChanged, BlobDeleted):
            return _Content(unverified, is_certain=bool(unverified))
        md5s = frozenset({digest})
        return _Content(md5s if etag == job.etag else md5s | unverified, is_certain=is_certain)


@dataclass(frozen=True, slots=True)
class _Content:
    """The MD5s, in hex, that the content may have; ``is_certain``: it has no other."""

    md5s: frozenset[str]
    is_certain: bool


def _is_plausible(job: Job, attachment: ListedAttachment) -> bool:
    size = attachment.size
    return size is None or job.size * _MIN_RATIO <= size <= max_reported_size(job.size)
