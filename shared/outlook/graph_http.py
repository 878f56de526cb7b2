"""How a request to Graph or to an upload session is sent: tokens, kept connections, lost answers.

A request never raises for what the far side said or failed to say: it returns a
:class:`~shared.outlook.graph_response.GraphResponse`. Nothing is retried here but a token that
Graph refuses, and no exception text of the HTTP library leaves this module, since it holds whole
URLs.
"""

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
from shared.outlook.graph_response import GraphResponse, Lost, parse_response
from shared.outlook.upload_url import UploadUrl
from shared.secret import Secret

# Seconds: to connect, and between two bytes of an answer. Outlook takes its time over a range.
TIMEOUTS = (10.0, 100.0)
# The same where somebody waits for the answer.
BRIEF_TIMEOUTS = (5.0, 15.0)
CONNECTIONS = 32
_CHUNK = 65_536

type Sink = Callable[[bytes], object]

_NEVER_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
)


class GraphHttp:
    """Requests to one Graph endpoint, over kept connections that threads may share.

    ``new_credential`` makes the credential, and makes it anew when Graph refuses a token, so
    that no cache can hand out the refused one again. A brief request is one that somebody waits
    for: it gives up sooner.
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

    def identity(self) -> GraphResponse:
        """Whether a token for Graph can be had: a success, or the loss that says why not."""
        token = self._token()
        return token if isinstance(token, GraphResponse) else GraphResponse(status=200)

    def _token(self) -> Secret | GraphResponse:
        try:
            return Secret(self._credential.get_token(self.endpoint.scope).token, "token")
        except AzureError as error:
            return GraphResponse(lost=Lost.NO_IDENTITY, message=f"no token: {type(error).__name__}")

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
        answer = self._authorized(method, path, data, into, brief=brief)
        if answer.status == 401:
            self._credential = self._new_credential()
            answer = self._authorized(method, path, data, into, brief=brief)
        return answer

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
            # The bytes themselves, as many as they are.
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
        """Send one request, once. ``into`` takes the bytes of a success in place of the body.

        What ``into`` raises ends the reading; the rest of the answer is never read.
        """
        request_id = str(uuid.uuid4())
        get_current_span().set_attribute("client_request_id", request_id)
        sent = {"client-request-id": request_id} | dict(headers or {})
        connect, read = map(min, self._timeouts, BRIEF_TIMEOUTS) if brief else self._timeouts
        try:
            request = self._http.prepare_request(
                requests.Request(method, url, headers=sent, data=data)
            )
            # An upload URL is opaque: sent as it was handed out, but for the case of its escapes.
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
            return GraphResponse(lost=_loss(error))


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
