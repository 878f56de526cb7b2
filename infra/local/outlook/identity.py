"""The managed-identity endpoint of App Service and Functions, and the tokens it issues.

`GET $IDENTITY_ENDPOINT?api-version=2019-08-01&resource=…` with the header `X-IDENTITY-HEADER`
(`docs/protocol.md`, "Managed identity"). A token is valid for the requested resource, for a day.
"""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from infra.local.outlook.protocol.errors import GraphError
from infra.local.outlook.protocol.messages import Request, Response, json_response

API_VERSION = "2019-08-01"
TOKEN_LIFETIME = timedelta(hours=24)
# `docs/protocol.md`, "National clouds".
GRAPH_RESOURCES = frozenset(
    f"https://{host}"
    for host in (
        "graph.microsoft.com",
        "graph.microsoft.us",
        "dod-graph.microsoft.us",
        "microsoftgraph.chinacloudapi.cn",
    )
)


class IdentityEndpoint:
    """Issues tokens to clients that send `header`, and verifies them."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.header = secrets.token_hex(16)
        self._clock = clock
        self._tokens: dict[str, tuple[str, datetime]] = {}

    @property
    def tokens(self) -> list[str]:
        """Every token ever issued."""
        return list(self._tokens)

    def answer(self, request: Request) -> Response:
        """The response to a token request: the token, or 400, 401, 405."""
        if request.method != "GET":
            return _refusal(405, "Request a token with GET.")
        given = request.headers.get("X-IDENTITY-HEADER", "")
        if not secrets.compare_digest(given.encode(), self.header.encode()):
            return _refusal(401, "X-IDENTITY-HEADER is missing or wrong.")
        if request.query.get("api-version") != API_VERSION:
            return _refusal(400, f"api-version must be {API_VERSION}.")
        resource = request.query.get("resource")
        if not resource:
            return _refusal(400, "resource is missing.")
        return json_response(200, self._issue(resource))

    def check(self, authorization: str | None) -> None:
        """Accept a bearer token for Graph that has not expired.

        Raises 401 `InvalidAuthenticationToken` for anything else.
        """
        scheme, _, token = (authorization or "").partition(" ")
        resource, expires = self._tokens.get(token, ("", self._clock()))
        if scheme.lower() != "bearer" or not token:
            raise _unauthorized("Access token is empty.")
        if token not in self._tokens:
            raise _unauthorized("Access token validation failure.")
        if resource.rstrip("/") not in GRAPH_RESOURCES:
            raise _unauthorized("Access token validation failure. Invalid audience.")
        if expires <= self._clock():
            raise _unauthorized("Lifetime validation failed, the token is expired.")

    def _issue(self, resource: str) -> dict[str, str]:
        token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9." + secrets.token_urlsafe(48)
        expires = self._clock() + TOKEN_LIFETIME
        self._tokens[token] = (resource, expires)
        return {
            "access_token": token,
            "expires_on": str(int(expires.timestamp())),
            "resource": resource,
            "token_type": "Bearer",
        }


def _refusal(status: int, message: str) -> Response:
    return json_response(status, {"statusCode": status, "message": message})


def _unauthorized(message: str) -> GraphError:
    challenge = {"WWW-Authenticate": 'Bearer realm="", error="invalid_token"'}
    return GraphError(401, "InvalidAuthenticationToken", message, challenge)
