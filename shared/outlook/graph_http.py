"""Sends requests to Graph and to upload sessions: tokens, connections, timeouts.

A request never raises because of the server or the network: it returns a
:class:`~shared.outlook.graph_response.GraphResponse`. The only retry is with a new token. No
exception text of the HTTP library is passed on or logged, since it contains whole URLs.
"""

import io
import time
import uuid
from collections.abc import Callable, Mapping
from http.cookiejar import DefaultCookiePolicy

import requests
import urllib3.exceptions
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError
from opentelemetry.trace import get_current_span
from requests.adapters import HTTPAdapter

from shared.outlook.call_telemetry import traced_call
from shared.outlook.clouds import GraphEndpoint
from shared.outlook.graph_response import GraphResponse, NoResponse, ResponseRules, parse_response
from shared.outlook.upload_url import UploadUrl
from shared.secret import Secret

# Seconds: to connect, and between two bytes of a response. Outlook can be slow to accept a range.
TIMEOUTS = (10.0, 100.0)
# The same for requests on behalf of a caller who waits.
BRIEF_TIMEOUTS = (5.0, 15.0)
CONNECTIONS = 32
_CHUNK = 65_536

type Sink = Callable[[bytes], object]

_NEVER_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
)


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
    ) -> None:
        self.endpoint = endpoint
        self.rules = rules
        self._new_credential = new_credential
        self._credential = new_credential()
        self._timeouts = timeouts
        self._http = _http_session(verify)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def has_identity(self) -> bool:
        """Whether the app's identity gets a token for Graph."""
        return isinstance(self._token(), Secret)

    def _token(self) -> Secret | GraphResponse:
        try:
            return Secret(self._credential.get_token(self.endpoint.scope).token, "token")
        except AzureError as error:
            return GraphResponse(
                no_response=NoResponse.NO_IDENTITY, message=f"no token: {type(error).__name__}"
            )

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
    ) -> GraphResponse:
        response = self._authorized(method, path, data, into, brief=brief)
        if response.status in self.rules.token_refused:
            self._credential = self._new_credential()
            response = self._authorized(method, path, data, into, brief=brief)
        return response

    def _authorized(
        self, method: str, path: str, data: bytes | None, into: Sink | None, *, brief: bool
    ) -> GraphResponse:
        token = self._token()
        if isinstance(token, GraphResponse):
            return token
        headers = {"Authorization": f"Bearer {token.reveal()}", "Prefer": 'IdType="ImmutableId"'}
        if data is not None:
            headers["Content-Type"] = "application/json"
        if into is not None:
            # Uncompressed, so that a limit on the bytes holds for what is read.
            headers["Accept-Encoding"] = "identity"
        url = self.endpoint.root + path
        return self._send(method, url, headers=headers, data=data, into=into, brief=brief)

    @traced_call
    def _send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        into: Sink | None = None,
        brief: bool = False,
    ) -> GraphResponse:
        """Send one request, once. A success's bytes go to ``into``, if given, not into the body.

        An exception of ``into`` ends the request; the rest of the response is not read.
        """
        request_id = str(uuid.uuid4())
        get_current_span().set_attribute("client_request_id", request_id)
        sent = {"client-request-id": request_id} | dict(headers or {})
        connect, read = map(min, self._timeouts, BRIEF_TIMEOUTS) if brief else self._timeouts
        try:
            request = self._http.prepare_request(
                requests.Request(method, url, headers=sent, data=data)
            )
            # An upload URL is opaque: not normalised, but for the case of its escapes.
            request.url = url
            with self._http.send(
                request, timeout=(connect, read), allow_redirects=False, stream=True
            ) as response:
                if into is None or not response.ok:
                    return parse_response(response.status_code, response.headers, response.content)
                for chunk in response.iter_content(_CHUNK):
                    into(chunk)
                return parse_response(response.status_code, response.headers, b"")
        except requests.RequestException as error:
            return GraphResponse(no_response=_reason(error))


def _reason(error: requests.RequestException) -> NoResponse:
    cause: object = error.args[0] if error.args else error
    cause = getattr(cause, "reason", cause)
    return NoResponse.NEVER_SENT if isinstance(cause, _NEVER_SENT) else NoResponse.UNKNOWN


def _http_session(verify: str | bool) -> requests.Session:
    session = requests.Session()
    # No netrc entry and no cookie may add a credential to a pre-authenticated URL.
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.verify = verify
    adapter = HTTPAdapter(pool_maxsize=CONNECTIONS, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session
