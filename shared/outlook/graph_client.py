"""Every request this app sends to Graph and to Outlook's upload sessions.

A call never raises for what the far side said or failed to say: it returns an
:class:`~shared.outlook.graph_response.GraphResponse`.
"""

import hashlib
from dataclasses import dataclass
from urllib.parse import quote

from shared.outlook.bounded_bytes import BoundedBytes
from shared.outlook.byte_ranges import ByteRange
from shared.outlook.call_telemetry import BYTES, RANGES, RESYNCHRONISATIONS
from shared.outlook.graph_http import GraphHttp
from shared.outlook.graph_response import GraphResponse, Lost
from shared.outlook.item import OutlookFile, OutlookItem
from shared.outlook.upload_url import UploadUrl

# No item holds as many; a listing whose pages go round would.
_MAX_ATTACHMENTS = 10_000
# Without contentBytes; contentId is a property of files alone (protocol §4).
_DESCRIBED = (
    "id,name,contentType,size,isInline,lastModifiedDateTime,"
    "microsoft.graph.fileAttachment/contentId"
)
# Seconds for all of an attachment's content: Azure ends an HTTP call after 230.
_CONTENT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class ListedAttachment:
    """An attachment as a listing shows it; ``size`` is Graph's own, larger than the file's."""

    id: str
    name: str
    size: int | None


class GraphClient(GraphHttp):
    """Calls to one Graph endpoint, and to the upload sessions it hands out."""

    def create_upload_session(self, item: OutlookItem, file: OutlookFile) -> GraphResponse:
        """Create an upload session; its URL is read by :meth:`upload_url`."""
        url = f"{item.path}/attachments/createUploadSession"
        answer = self._graph("POST", url, data=file.attachment_item())
        if answer.succeeded and not isinstance(answer.body.get("uploadUrl"), str):
            return GraphResponse(lost=Lost.UNKNOWN)
        return answer

    def upload_url(self, text: object) -> UploadUrl:
        """The checked upload URL of a session.

        Raises :class:`~shared.errors.UploadHostNotAllowed`.
        """
        return UploadUrl(str(text), self.endpoint)

    def attach_small_file(
        self, item: OutlookItem, file: OutlookFile, content: bytes
    ) -> GraphResponse:
        """Attach a file by one POST; a success names the attachment in its ``id``."""
        answer = self._graph("POST", f"{item.path}/attachments", data=file.file_attachment(content))
        if answer.succeeded:
            BYTES.add(file.size)
            if not isinstance(answer.body.get("id"), str):
                return GraphResponse(lost=Lost.UNKNOWN)
        return answer

    def list_attachments(
        self, item: OutlookItem, *, brief: bool = False
    ) -> tuple[GraphResponse, list[ListedAttachment]]:
        """Every attachment of an item, following the pages.

        The answer is that of the last page, or of the page that failed.
        """
        found: list[ListedAttachment] = []
        path = f"{item.path}/attachments?$select=id,name,size"
        while True:
            answer = self._graph("GET", path, brief=brief)
            entries = answer.body.get("value")
            if not answer.succeeded:
                return answer, []
            if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
                return GraphResponse(lost=Lost.UNKNOWN), []
            found += [_listed(entry) for entry in entries if "id" in entry]
            link = answer.body.get("@odata.nextLink")
            if not link:
                return answer, found
            if len(found) > _MAX_ATTACHMENTS:
                return GraphResponse(status=502, message="the listing has no end"), []
            if not str(link).startswith(f"{self.endpoint.root}/"):
                # The token goes nowhere but to Graph.
                return GraphResponse(status=502, message="a page link points away from Graph"), []
            path = str(link).removeprefix(self.endpoint.root)

    def attachment_md5(self, item: OutlookItem, attachment_id: str) -> tuple[GraphResponse, str]:
        """MD5, in hex, of an attachment's raw bytes; empty unless the answer is a success.

        The bytes are streamed. Of 45 to 50 MB, ``$value`` was seen to time out (protocol §4).
        """
        digest = hashlib.md5(usedforsecurity=False)
        path = f"{_attachment(item, attachment_id)}/$value"
        answer = self._graph("GET", path, into=digest.update)
        return answer, digest.hexdigest() if answer.succeeded else ""

    def describe_attachment(self, item: OutlookItem, attachment_id: str) -> GraphResponse:
        """One attachment without its bytes; ``size`` is Graph's own, larger than the file's."""
        path = f"{_attachment(item, attachment_id)}?$select={_DESCRIBED}"
        return self._graph("GET", path, brief=True)

    def attachment_content(
        self,
        item: OutlookItem,
        attachment_id: str,
        at_most: int,
        *,
        seconds: float = _CONTENT_SECONDS,
    ) -> tuple[GraphResponse, bytes | None]:
        """The raw bytes of an attachment; None unless the answer is a success.

        Raises :class:`~shared.outlook.bounded_bytes.TooMuch` as soon as there are more than
        ``at_most``; the rest is not read.
        """
        kept = BoundedBytes(at_most, seconds)
        path = f"{_attachment(item, attachment_id)}/$value"
        answer = self._graph("GET", path, into=kept.take, brief=True)
        return answer, kept.whole() if answer.succeeded else None

    def remove_attachment(self, item: OutlookItem, attachment_id: str) -> GraphResponse:
        """Delete an attachment from its item."""
        return self._graph("DELETE", _attachment(item, attachment_id), brief=True)

    def put_range(
        self, url: UploadUrl, part: ByteRange, total: int, content: bytes
    ) -> GraphResponse:
        """PUT one range. No ``Authorization``: Outlook answers 401 to it (protocol §3)."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": part.content_range(total),
        }
        answer = self._upload("PUT", url, headers=headers, data=content)
        if answer.succeeded:
            BYTES.add(part.length)
            RANGES.add(1)
        return answer

    def session_state(self, url: UploadUrl) -> GraphResponse:
        """Ask an upload session what it expects next; Outlook may not answer this at all."""
        RESYNCHRONISATIONS.add(1)
        return self._upload("GET", url)

    def cancel_upload_session(self, url: UploadUrl) -> GraphResponse:
        """Delete an upload session with what it holds."""
        return self._upload("DELETE", url)

    def reach(self) -> GraphResponse:
        """Ask Graph for its service document: a call that a token is enough for."""
        return self._graph("GET", "", into=lambda _: None, brief=True)


def _listed(entry: dict[str, object]) -> ListedAttachment:
    size = entry.get("size")
    name = str(entry.get("name") or "")
    return ListedAttachment(str(entry["id"]), name, size if isinstance(size, int) else None)


def _attachment(item: OutlookItem, attachment_id: str) -> str:
    if not attachment_id.strip("."):
        # It would lead to the item itself.
        raise ValueError("not an attachment's id")
    return f"{item.path}/attachments/{quote(attachment_id, safe='')}"
