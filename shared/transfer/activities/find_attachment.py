"""Is the file attached? What the item holds, compared with what it held before.

A new id with the file's name is a candidate; the bytes decide, since someone else may attach a
file of that name at the same time. Graph's ``size`` is never the file's own (protocol §4), and
``$value`` of a large attachment can time out, so that the bytes cannot always be had.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import BlobDeleted, OutcomeUnknown, Superseded, UnsupportedBlob
from shared.outlook.graph_client import GraphClient, ListedAttachment
from shared.storage.source_container import SourceContainer
from shared.storage.storage_errors import BlobChanged
from shared.transfer.activities.blob_reader import StartOver, recognise
from shared.transfer.activity_payloads import Job
from shared.transfer.messages import CANNOT_TELL

# Graph's size of an attachment is the file's own and some more: 1.05 times as much was seen.
_LEAST, _MOST, _OVERHEAD = 0.95, 1.5, 65_536
_GONE = frozenset({404, 410})


def max_reported_size(size: int) -> float:
    """The most that Graph may tell as the size of a file of so many bytes."""
    return size * _MOST + _OVERHEAD


class Throttled(Exception):
    """Raised when the far side asked to wait, in seconds, before the next look."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Findings:
    """``own`` is the id of this transfer's attachment, None when it is not there (yet).

    ``foreign`` are ids whose bytes are not the file's; ``unread``: some bytes could not be had.
    """

    own: str | None = None
    foreign: tuple[str, ...] = ()
    unread: bool = False


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Finds the attachment that a transfer may have made."""

    graph: GraphClient
    source: SourceContainer

    def find(
        self,
        job: Job,
        earlier: Sequence[str],
        listed: Sequence[ListedAttachment],
        *,
        is_last_attempt: bool,
    ) -> Findings:
        """What became of the file, as far as the listing and the bytes tell.

        ``earlier``: the ids that the item had before. ``is_last_attempt``: there will be no other
        look, so that the one candidate whose bytes cannot be had is taken.
        Raises :class:`OutcomeUnknown` when candidates cannot be told apart,
        :class:`Throttled` and :class:`StorageUnavailable`.
        """
        known = set(earlier)
        candidates = [
            each
            for each in listed
            if each.name == job.file_name and each.id not in known and _plausible(job, each)
        ]
        if not candidates:
            return Findings()
        content = self._content(job)
        unread: list[str] = []
        foreign: list[str] = []
        for each in candidates:
            answer, md5 = self.graph.attachment_md5(job.item, each.id)
            if answer.retry_after is not None and not answer.succeeded:
                raise Throttled(answer.retry_after)
            if answer.succeeded and md5 in content.md5s:
                return Findings(own=each.id)
            if answer.status in _GONE and is_last_attempt:
                # Listed a moment ago: nobody looks again to see if it is really gone.
                raise OutcomeUnknown(CANNOT_TELL)
            if answer.succeeded and content.proven:
                foreign.append(each.id)
            else:
                unread.append(each.id)
        if not unread or not is_last_attempt:
            return Findings(foreign=tuple(foreign), unread=bool(unread))
        if not content.proven or len(unread) > 1:
            raise OutcomeUnknown(CANNOT_TELL)
        # The one new attachment of that name and about that size, whose bytes Outlook never gave.
        return Findings(own=unread[0])

    def _content(self, job: Job) -> "_Content":
        """What the job's bytes may hash to: the bytes themselves count, if they are still there.

        The blob's own MD5 property is its writer's word, taken only for bytes that are gone.
        """
        word = frozenset({job.md5} - {""})
        try:
            blob = self.source.look(job.blob)
            etag, proven = blob.etag, True
            if etag != job.etag:
                recognise(job, blob)
        except (StartOver, UnsupportedBlob):
            # The same content or another: no MD5 tells.
            proven = bool(word)
        except (Superseded, BlobDeleted):
            return _Content(word, proven=bool(word))
        try:
            digest = self.source.md5_of(blob)
        except (BlobChanged, BlobDeleted):
            return _Content(word, proven=bool(word))
        seen = frozenset({digest})
        return _Content(seen if etag == job.etag else seen | word, proven=proven)


@dataclass(frozen=True, slots=True)
class _Content:
    """MD5s in hex, any of which is the job's; ``proven``: nothing else is."""

    md5s: frozenset[str]
    proven: bool


def _plausible(job: Job, attachment: ListedAttachment) -> bool:
    size = attachment.size
    return size is None or job.size * _LEAST <= size <= max_reported_size(job.size)
