"""Every request this app sends to Graph and to Outlook's upload sessions.

A call never raises for what the far side said or failed to say: it returns an
:class:`~shared.outlook.answers.Answer`. Nothing is retried here, and no exception text of the
HTTP library leaves this module, since it holds whole URLs.
"""

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import quote

import requests
import urllib3.exceptions
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError
from opentelemetry.instrumentation.utils import suppress_http_instrumentation
from requests.adapters import HTTPAdapter

from shared.outlook.answers import Answer, Lost, read_answer
from shared.outlook.byte_ranges import ByteRange
from shared.outlook.clouds import GraphEndpoint
from shared.outlook.item import OutlookFile, OutlookItem
from shared.outlook.upload_url import UploadUrl

# Seconds: to connect, and between two bytes of an answer. Outlook takes its time over a range.
TIMEOUTS = (10.0, 100.0)
CONNECTIONS = 32
_CHUNK = 1_048_576
# No item holds as many; a listing whose pages go round would.
_ATTACHMENTS_AT_MOST = 10_000

type Sink = Callable[[bytes], object]

_NEVER_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
)


@dataclass(frozen=True, slots=True)
class ListedAttachment:
    """An attachment as a listing shows it; ``size`` is Graph's own, larger than the file's."""

    id: str
    name: str
    size: int | None


class GraphClient:
    """Calls to one Graph endpoint, over kept connections that threads may share.

    ``new_credential`` makes the credential, and makes it anew when Graph refuses a token, so
    that no cache can hand out the refused one again.
    """

    def __init__(
        self,
        endpoint: GraphEndpoint,
        new_credential: Callable[[], TokenCredential],
        *,
        verify: str | bool = True,
        timeouts: tuple[float, float] = TIMEOUTS,
    ) -> None:
        self.endpoint = endpoint
        self._new_credential = new_credential
        self._credential = new_credential()
        self._timeouts = timeouts
        self._http = _http_session(verify)

    def close(self) -> None:
        """Close the kept connections."""
        self._http.close()

    def create_upload_session(self, item: OutlookItem, file: OutlookFile) -> Answer:
        """Create an upload session; its URL is read by :meth:`upload_url`."""
        url = f"{item.path}/attachments/createUploadSession"
        answer = self._graph("POST", url, data=file.attachment_item())
        if answer.succeeded and not isinstance(answer.body.get("uploadUrl"), str):
            return Answer(lost=Lost.UNKNOWN)
        return answer

    def upload_url(self, text: object) -> UploadUrl:
        """The checked upload URL of a session.

        Raises :class:`~shared.errors.UploadHostNotAllowed`.
        """
        return UploadUrl(str(text), self.endpoint)

    def attach_small_file(self, item: OutlookItem, file: OutlookFile, content: bytes) -> Answer:
        """Attach a file by one POST; a success names the attachment in its ``id``."""
        answer = self._graph("POST", f"{item.path}/attachments", data=file.file_attachment(content))
        if answer.succeeded and not isinstance(answer.body.get("id"), str):
            return Answer(lost=Lost.UNKNOWN)
        return answer

    def list_attachments(self, item: OutlookItem) -> tuple[Answer, list[ListedAttachment]]:
        """Every attachment of an item, following the pages.

        The answer is that of the last page, or of the page that failed.
        """
        found: list[ListedAttachment] = []
        path = f"{item.path}/attachments?$select=id,name,size"
        while True:
            answer = self._graph("GET", path)
            entries = answer.body.get("value")
            if not answer.succeeded:
                return answer, []
            if not isinstance(entries, list):
                return Answer(lost=Lost.UNKNOWN), []
            found += [_listed(entry) for entry in entries if "id" in entry]
            link = answer.body.get("@odata.nextLink")
            if not link:
                return answer, found
            if len(found) > _ATTACHMENTS_AT_MOST:
                return Answer(status=502, message="the listing has no end"), []
            if not str(link).startswith(f"{self.endpoint.root}/"):
                # The token goes nowhere but to Graph.
                return Answer(status=502, message="a page link points away from Graph"), []
            path = str(link).removeprefix(self.endpoint.root)

    def attachment_md5(self, item: OutlookItem, attachment_id: str) -> tuple[Answer, str]:
        """MD5, in hex, of an attachment's raw bytes; empty unless the answer is a success.

        The bytes are streamed. Of 45 to 50 MB, ``$value`` was seen to time out (protocol §4).
        """
        path = f"{item.path}/attachments/{quote(attachment_id, safe='')}/$value"
        digest = hashlib.md5(usedforsecurity=False)
        answer = self._graph("GET", path, into=digest.update)
        return answer, digest.hexdigest() if answer.succeeded else ""

    def put_range(self, url: UploadUrl, part: ByteRange, total: int, content: bytes) -> Answer:
        """PUT one range. No ``Authorization``: Outlook answers 401 to it (protocol §3)."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": part.content_range(total),
        }
        return self._upload("PUT", url, headers=headers, data=content)

    def session_state(self, url: UploadUrl) -> Answer:
        """Ask an upload session what it expects next; Outlook may not answer this at all."""
        return self._upload("GET", url)

    def cancel_upload_session(self, url: UploadUrl) -> Answer:
        """Delete an upload session with what it holds."""
        return self._upload("DELETE", url)

    def _upload(
        self,
        method: str,
        url: UploadUrl,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> Answer:
        # Tracing of the HTTP library would keep the whole URL.
        with suppress_http_instrumentation():
            return self._send(method, url.reveal(), headers=headers, data=data)

    def _graph(
        self, method: str, path: str, *, data: bytes | None = None, into: Sink | None = None
    ) -> Answer:
        answer = self._authorized(method, path, data, into)
        if answer.status == 401:
            self._credential = self._new_credential()
            answer = self._authorized(method, path, data, into)
        return answer

    def _authorized(self, method: str, path: str, data: bytes | None, into: Sink | None) -> Answer:
        try:
            token = self._credential.get_token(self.endpoint.scope).token
        except AzureError as error:
            return Answer(lost=Lost.NO_IDENTITY, message=f"no token: {type(error).__name__}")
        headers = {"Authorization": f"Bearer {token}", "Prefer": 'IdType="ImmutableId"'}
        if data is not None:
            headers["Content-Type"] = "application/json"
        url = self.endpoint.root + path
        return self._send(method, url, headers=headers, data=data, into=into)

    def _send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        into: Sink | None = None,
    ) -> Answer:
        """Send one request, once. ``into`` takes the bytes of a success in place of the body."""
        sent = {"client-request-id": str(uuid.uuid4())} | dict(headers or {})
        try:
            request = self._http.prepare_request(
                requests.Request(method, url, headers=sent, data=data)
            )
            # An upload URL is opaque: sent as it was handed out, but for the case of its escapes.
            request.url = url
            with self._http.send(
                request, timeout=self._timeouts, allow_redirects=False, stream=True
            ) as response:
                if into is None or not response.ok:
                    return read_answer(response.status_code, response.headers, response.content)
                for chunk in response.iter_content(_CHUNK):
                    into(chunk)
                return read_answer(response.status_code, response.headers, b"")
        except requests.RequestException as error:
            return Answer(lost=_loss(error))


def _listed(entry: dict[str, object]) -> ListedAttachment:
    size = entry.get("size")
    name = str(entry.get("name") or "")
    return ListedAttachment(str(entry["id"]), name, size if isinstance(size, int) else None)


def _loss(error: requests.RequestException) -> Lost:
    cause: object = error.args[0] if error.args else error
    cause = getattr(cause, "reason", cause)
    return Lost.NEVER_SENT if isinstance(cause, _NEVER_SENT) else Lost.UNKNOWN


def _http_session(verify: str | bool) -> requests.Session:
    session = requests.Session()
    # Neither a netrc entry nor a cookie may add a credential to a pre-authenticated URL.
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.verify = verify
    adapter = HTTPAdapter(pool_maxsize=CONNECTIONS, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session
