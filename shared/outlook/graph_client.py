"""Every request that this app sends to Graph and to Outlook's upload sessions.

A call never raises because of the server or the network: it returns a
:class:`~shared.outlook.graph_response.GraphResponse`.
"""

import hashlib
import json
import time
from dataclasses import dataclass
from urllib.parse import quote

from shared.outlook.byte_ranges import ByteRange
from shared.outlook.call_telemetry import BYTES, RANGES, RESYNCHRONISATIONS
from shared.outlook.graph_http import BoundedBuffer, GraphHttp
from shared.outlook.graph_response import GraphResponse, NoResponse
from shared.outlook.item import OutlookFile, OutlookItem
from shared.outlook.upload_url import UploadUrl, find_upload_urls

# Bounds of a listing, whose page links can form a circle. No item has as many attachments.
MAX_PAGES = 1_000
_MAX_ATTACHMENTS = 10_000
LISTING_SECONDS = 300.0
BRIEF_LISTING_SECONDS = 60.0
# Upload URLs in one unreadable response that are deleted.
_MAX_UNREAD_SESSIONS = 3
# Without contentBytes; contentId is a property of file attachments only.
_DESCRIBED = (
    "id,name,contentType,size,isInline,lastModifiedDateTime,"
    "microsoft.graph.fileAttachment/contentId"
)
# Seconds for all of an attachment's content: Azure ends an HTTP request after 230.
_CONTENT_SECONDS = 120.0
# The same for a comparison, on behalf of nobody who waits.
_COMPARE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class ListedAttachment:
    """An attachment in a listing; ``size`` is as Graph reports it, larger than the file."""

    id: str
    name: str
    size: int | None


class GraphClient(GraphHttp):
    """Requests to one Graph endpoint, and to the upload sessions that it creates."""

    def create_upload_session(self, item: OutlookItem, file: OutlookFile) -> GraphResponse:
        """Create an upload session; :meth:`upload_url` checks its URL.

        A success that cannot be read has created a session. It is deleted, once, where its URL
        can be found in the response; otherwise it stays open until it expires.
        """
        url = f"{item.path}/attachments/createUploadSession"
        response = self._graph("POST", url, data=file.attachment_item())
        if response.unread:
            self._cancel_unread(response.unread)
        if response.succeeded and not isinstance(response.body.get("uploadUrl"), str):
            self._cancel_unread(json.dumps(response.body).encode())
            return _unusable()
        return response

    def _cancel_unread(self, content: bytes) -> None:
        for url in find_upload_urls(content, self.endpoint)[:_MAX_UNREAD_SESSIONS]:
            self.cancel_upload_session(url)

    def upload_url(self, text: object) -> UploadUrl:
        """Check the upload URL of a session.

        Raises :class:`~shared.errors.UploadHostNotAllowed`.
        """
        return UploadUrl(str(text), self.endpoint)

    def attach_small_file(
        self, item: OutlookItem, file: OutlookFile, content: bytes
    ) -> GraphResponse:
        """Attach a file by one POST; the body of a success has the attachment's ``id``.

        It is sent once: a response that refuses the token does not prove that nothing was done.
        """
        path = f"{item.path}/attachments"
        response = self._graph("POST", path, data=file.file_attachment(content), once=True)
        if response.succeeded:
            BYTES.add(file.size)
            if not isinstance(response.body.get("id"), str):
                return _unusable()
        return response

    def draft_state(self, item: OutlookItem) -> GraphResponse:
        """Get a message's ``isDraft``: false once it was sent, or if somebody received it."""
        return self._graph("GET", f"{item.path}?$select=isDraft")

    def list_attachments(
        self, item: OutlookItem, *, brief: bool = False
    ) -> tuple[GraphResponse, list[ListedAttachment]]:
        """List every attachment of an item, page by page.

        The response is that of the last page, or of the page that failed.
        """
        found: list[ListedAttachment] = []
        path = f"{item.path}/attachments?$select=id,name,size"
        pages: set[str] = set()
        until = time.monotonic() + (BRIEF_LISTING_SECONDS if brief else LISTING_SECONDS)
        while path not in pages and len(pages) < MAX_PAGES and time.monotonic() < until:
            if len(found) > _MAX_ATTACHMENTS:
                break
            pages.add(path)
            response = self._graph("GET", path, brief=brief)
            entries = response.body.get("value")
            if not response.succeeded:
                return response, []
            if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
                return _unusable(), []
            found += [_listed(entry) for entry in entries if "id" in entry]
            link = response.body.get("@odata.nextLink")
            if not link:
                return response, found
            if not str(link).startswith(f"{self.endpoint.root}/"):
                # The token is sent to Graph only.
                return _unusable("a page link points away from Graph"), []
            path = str(link).removeprefix(self.endpoint.root)
        return _unusable("the listing has no end"), []

    def attachment_md5(self, item: OutlookItem, attachment_id: str) -> tuple[GraphResponse, str]:
        """MD5, in hex, of an attachment's raw bytes; empty unless the response is a success.

        The bytes are streamed. From about 45 MB on, the request may time out: see
        "After the upload" in docs/protocol.md.
        """
        digest = hashlib.md5(usedforsecurity=False)
        path = f"{_attachment(item, attachment_id)}/$value"
        response = self._graph("GET", path, into=digest.update, seconds=_COMPARE_SECONDS)
        return response, digest.hexdigest() if response.succeeded else ""

    def describe_attachment(self, item: OutlookItem, attachment_id: str) -> GraphResponse:
        """One attachment without its bytes; ``size`` is as Graph reports it."""
        path = f"{_attachment(item, attachment_id)}?$select={_DESCRIBED}"
        return self._graph("GET", path, brief=True)

    def attachment_content(
        self,
        item: OutlookItem,
        attachment_id: str,
        max_bytes: int,
        *,
        seconds: float = _CONTENT_SECONDS,
    ) -> tuple[GraphResponse, bytes | None]:
        """The raw bytes of an attachment; None unless the response is a success.

        Raises :class:`~shared.outlook.graph_http.ResponseTooLarge` as soon as there are more than
        ``max_bytes``; the rest is not read.
        """
        buffer = BoundedBuffer(max_bytes, seconds)
        path = f"{_attachment(item, attachment_id)}/$value"
        response = self._graph("GET", path, into=buffer.write, brief=True, seconds=seconds)
        return response, buffer.getvalue() if response.succeeded else None

    def remove_attachment(self, item: OutlookItem, attachment_id: str) -> GraphResponse:
        """Delete an attachment from its item."""
        return self._graph("DELETE", _attachment(item, attachment_id), brief=True)

    def put_range(
        self, url: UploadUrl, part: ByteRange, total: int, content: bytes
    ) -> GraphResponse:
        """PUT one range. Without ``Authorization``: Outlook would refuse it with 401."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": part.content_range(total),
        }
        response = self._upload("PUT", url, headers=headers, data=content)
        if response.succeeded:
            BYTES.add(part.length)
            RANGES.add(1)
        return response

    def session_state(self, url: UploadUrl) -> GraphResponse:
        """Get the state of an upload session; Outlook does not always support this."""
        RESYNCHRONISATIONS.add(1)
        return self._upload("GET", url)

    def cancel_upload_session(self, url: UploadUrl) -> GraphResponse:
        """Delete an upload session and the bytes it has."""
        return self._upload("DELETE", url)

    def reach(self) -> GraphResponse:
        """GET Graph's service document, which needs a token but no permission."""
        return self._graph("GET", "", into=lambda _: None, brief=True)


def _unusable(message: str = "") -> GraphResponse:
    """A success that lacks what it should contain counts as a lost response."""
    return GraphResponse(no_response=NoResponse.UNKNOWN, message=message)


def _listed(entry: dict[str, object]) -> ListedAttachment:
    size = entry.get("size")
    name = str(entry.get("name") or "")
    return ListedAttachment(str(entry["id"]), name, size if isinstance(size, int) else None)


def _attachment(item: OutlookItem, attachment_id: str) -> str:
    if not attachment_id.strip("."):
        # An id of dots would address the item itself.
        raise ValueError("not an attachment's id")
    return f"{item.path}/attachments/{quote(attachment_id, safe='')}"
