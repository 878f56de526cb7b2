"""Sends requests to Graph and to upload sessions: tokens, connections, timeouts.

A request never raises because of the server or the network: it returns a
:class:`~shared.outlook.graph_response.GraphResponse`. The only retry is with a new token, and never
of a request that attaches. No exception text of the HTTP library is passed on or logged, since it
contains whole URLs.
"""

import io
import re
import time
import uuid
from collections.abc import Callable, Mapping
from http.client import HTTPException

import requests
import urllib3.exceptions
from azure.core.credentials import TokenCredential
from opentelemetry.trace import get_current_span

from shared.outlook.call_telemetry import traced_call
from shared.outlook.clouds import GraphEndpoint
from shared.outlook.connections import Exchange, NeverSent, environment, http_session
from shared.outlook.content_coding import UnreadableContent, decoded
from shared.outlook.graph_response import GraphResponse, NoResponse, ResponseRules, parse_response
from shared.outlook.upload_url import UploadUrl
from shared.secret import Secret

# Seconds: to connect, and between two bytes of a response. Outlook can be slow to accept a range.
TIMEOUTS = (10.0, 100.0)
# The same for requests on behalf of a caller who waits.
BRIEF_TIMEOUTS = (5.0, 15.0)
# Seconds for one request in all, with its response: eight ranges fit into the lease of a lock.
TOTAL_SECONDS = 180.0
BRIEF_TOTAL_SECONDS = 30.0
# Bytes of a response's JSON. The response to a small POST can have the file in it, as base64.
MAX_JSON_BYTES = 8_388_608
_CHUNK = 65_536

# Timeouts, to connect and between two bytes, and the total.
type Limits = tuple[tuple[float, float], float]
type Sink = Callable[[bytes], object]

# What a header may hold of a token.
_TOKEN = re.compile(r"[!-~]+", re.ASCII)
# What a request raises that cannot be sent as it is.
_INVALID = (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader)
# What a broken connection raises, and a response that is not HTTP.
_BROKEN = (OSError, HTTPException, urllib3.exceptions.HTTPError, UnreadableContent)


class ResponseTooLarge(Exception):
    """Raised when a response has more bytes than the limit."""


class BoundedBuffer:
    """Collects the bytes of a response, within a size and a time."""

    def __init__(self, max_bytes: int, seconds: float) -> None:
        self._buffer = io.BytesIO()
        self._max_bytes = max_bytes
        self._deadline = time.monotonic() + seconds

    def write(self, chunk: bytes) -> None:
        """Add the next bytes.

        Raises :class:`ResponseTooLarge`, and the HTTP library's time-out after the time: its own
        timeout is between two bytes only.
        """
        if self._buffer.tell() + len(chunk) > self._max_bytes:
            raise ResponseTooLarge
        if time.monotonic() > self._deadline:
            raise requests.ReadTimeout
        self._buffer.write(chunk)

    def getvalue(self) -> bytes:
        """All bytes so far."""
        return self._buffer.getvalue()


class GraphHttp:
    """Sends requests to one Graph endpoint; safe for use by several threads.

    ``new_credential`` creates the credential, and creates it again when Graph refuses a token, so
    that no cache can return the refused one. A brief request has shorter timeouts.
    """

    def __init__(
        self,
        endpoint: GraphEndpoint,
        new_credential: Callable[[], TokenCredential],
        rules: ResponseRules,
        *,
        verify: str | bool = True,
        timeouts: tuple[float, float] = TIMEOUTS,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        self.endpoint = endpoint
        self.rules = rules
        self._new_credential = new_credential
        self._credential = new_credential()
        self._timeouts = timeouts
        self._total_seconds = total_seconds
        self._http = http_session(verify)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def has_identity(self) -> bool:
        """Whether the app's identity gets a token for Graph."""
        return isinstance(self._token(), Secret)

    def _token(self) -> Secret | GraphResponse:
        """A token; any other answer of the identity endpoint means that there is none yet.

        From HTML, an empty response or an odd ``expires_on`` the library raises ``ValueError``,
        ``KeyError``, ``AttributeError`` and others.
        """
        try:
            token: object = self._credential.get_token(self.endpoint.scope).token
        except Exception as error:  # noqa: BLE001
            return _no_token(type(error).__name__)
        if isinstance(token, str) and _TOKEN.fullmatch(token):
            return Secret(token, "token")
        return _no_token("not a token")

    def _upload(
        self,
        method: str,
        url: UploadUrl,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> GraphResponse:
        return self._send(method, url.reveal(), headers=headers, data=data)

    def _graph(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        into: Sink | None = None,
        brief: bool = False,
        seconds: float | None = None,
        once: bool = False,
    ) -> GraphResponse:
        """Send a request; if its token is refused and ``once`` is not set, with a new one, too."""
        limits = self._limits(brief=brief, seconds=seconds)
        response = self._authorized(method, path, data, into, limits)
        if response.status in self.rules.token_refused:
            try:
                self._credential = self._new_credential()
            except Exception as error:  # noqa: BLE001
                return response if once else _no_token(type(error).__name__)
            if not once:
                response = self._authorized(method, path, data, into, limits)
        return response

    def _limits(self, *, brief: bool = False, seconds: float | None = None) -> Limits:
        (connect, read), total = self._timeouts, self._total_seconds
        if brief:
            connect, read = min(connect, BRIEF_TIMEOUTS[0]), min(read, BRIEF_TIMEOUTS[1])
            total = min(total, BRIEF_TOTAL_SECONDS)
        return (connect, read), total if seconds is None else seconds

    def _authorized(
        self, method: str, path: str, data: bytes | None, into: Sink | None, limits: Limits
    ) -> GraphResponse:
        token = self._token()
        if isinstance(token, GraphResponse):
            return token
        headers = {"Authorization": f"Bearer {token.reveal()}", "Prefer": 'IdType="ImmutableId"'}
        if data is not None:
            headers["Content-Type"] = "application/json"
        url = self.endpoint.root + path
        return self._send(method, url, headers=headers, data=data, into=into, limits=limits)

    @traced_call
    def _send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        into: Sink | None = None,
        limits: Limits | None = None,
    ) -> GraphResponse:
        """Send one request, once. A success's bytes go to ``into``, if given, not into the body.

        An exception of ``into`` ends the request; the rest of the response is not read.
        """
        request_id = str(uuid.uuid4())
        get_current_span().set_attribute("client_request_id", request_id)
        # Uncompressed, so that what is read has the size that is sent.
        sent = {"client-request-id": request_id, "Accept-Encoding": "identity", **(headers or {})}
        prepared = requests.Request(method, url, headers=sent, data=data)
        timeout, total = limits or self._limits()
        try:
            request = self._http.prepare_request(prepared)
            # Not as the library has rewritten it.
            request.url = url
            options = environment(url, self._http.verify)
            with (
                Exchange(url, total) as exchange,
                self._http.send(
                    request, timeout=timeout, allow_redirects=False, stream=True, **options
                ) as response,
            ):
                return _received(response, exchange, into)
        except (NeverSent, *_INVALID):
            return GraphResponse(no_response=NoResponse.NEVER_SENT)
        except _BROKEN:
            return GraphResponse(no_response=NoResponse.UNKNOWN)


def _no_token(reason: str) -> GraphResponse:
    return GraphResponse(no_response=NoResponse.NO_IDENTITY, message=f"no token: {reason}")


def _received(response: requests.Response, exchange: Exchange, into: Sink | None) -> GraphResponse:
    status, headers = response.status_code, response.headers
    succeeded = 200 <= status < 300
    chunks = response.raw.stream(_CHUNK, decode_content=False)
    pieces = decoded(chunks, headers.get("Content-Encoding", ""))
    if into is not None and succeeded:
        for piece in pieces:
            into(piece)
        exchange.check()
        return parse_response(status, headers, b"")
    body = bytearray()
    try:
        for piece in pieces:
            body += piece
            if len(body) > MAX_JSON_BYTES:
                if succeeded:
                    raise UnreadableContent
                # The status is enough.
                return parse_response(status, headers, b"")
        exchange.check()
    except _BROKEN:
        unread = bytes(body[:_CHUNK]) if succeeded else b""
        return GraphResponse(no_response=NoResponse.UNKNOWN, unread=unread)
    return parse_response(status, headers, bytes(body))
