"""The managed-identity endpoint of App Service and Functions, and the tokens it issues.

`GET $IDENTITY_ENDPOINT?api-version=2019-08-01&resource=…` with `X-IDENTITY-HEADER`
(`protocol.md` §9). A token is good for the resource it was asked for and lives a day.
"""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from infra.local.outlook.protocol.errors import GraphError
from infra.local.outlook.protocol.messages import Answer, Call, json_answer

API_VERSION = "2019-08-01"
TOKEN_LIFETIME = timedelta(hours=24)
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
    """Issues tokens to whoever knows `header`, and knows its own tokens again."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.header = secrets.token_hex(16)
        self._clock = clock
        self._tokens: dict[str, tuple[str, datetime]] = {}

    @property
    def tokens(self) -> list[str]:
        """Every token ever issued."""
        return list(self._tokens)

    def answer(self, call: Call) -> Answer:
        """The answer to a token request: the token, or 400, 401, 405 in the endpoint's shape."""
        if call.method != "GET":
            return _refusal(405, "Ask for a token with GET.")
        given = call.headers.get("X-IDENTITY-HEADER", "")
        if not secrets.compare_digest(given.encode(), self.header.encode()):
            return _refusal(401, "X-IDENTITY-HEADER is missing or wrong.")
        if call.query.get("api-version") != API_VERSION:
            return _refusal(400, f"api-version must be {API_VERSION}.")
        resource = call.query.get("resource")
        if not resource:
            return _refusal(400, "resource is missing.")
        return json_answer(200, self._issue(resource))

    def check(self, authorization: str | None) -> None:
        """Let a bearer of a living token for Graph pass.

        Raises 401 `InvalidAuthenticationToken` otherwise.
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


def _refusal(status: int, message: str) -> Answer:
    return json_answer(status, {"statusCode": status, "message": message})


def _unauthorized(message: str) -> GraphError:
    challenge = {"WWW-Authenticate": 'Bearer realm="", error="invalid_token"'}
    return GraphError(401, "InvalidAuthenticationToken", message, challenge)
