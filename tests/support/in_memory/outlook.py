"""The Outlook emulator without sockets, for tests with very many requests."""

from io import BytesIO
from typing import Any, cast
from urllib.parse import urlsplit

import requests
import urllib3
from azure.core.credentials import AccessToken, TokenCredential
from multidict import CIMultiDict, CIMultiDictProxy
from requests.adapters import BaseAdapter, HTTPAdapter

from infra.local.outlook.protocol.messages import Request as Call
from infra.local.outlook.rules import Rules
from infra.local.outlook.service import Service
from infra.local.outlook.tenant import Tenant
from shared.outlook.clouds import graph_endpoint
from shared.outlook.graph_client import GraphClient
from shared.settings import Settings
from shared.transfer.retry_policy import RESPONSE_RULES
from tests.support.engine.stalled_delivery import operation

URL = "http://127.0.0.1:9"
_TOKEN_PATH = "/msi/token?api-version=2019-08-01&resource=https://graph.microsoft.com"


def direct_service(clock: Any, rules: Rules) -> Service:
    """The emulated service with this clock, at :data:`URL`."""
    return Service(Tenant(clock, rules, url=URL))


def direct_client(service: Service, settings: Settings) -> GraphClient:
    """A client whose requests the service handles in the calling thread."""
    graph = GraphClient(
        graph_endpoint(settings),
        lambda: cast("TokenCredential", _Credential(service)),
        RESPONSE_RULES,
    )
    graph._http.mount(URL, DirectAdapter(service))
    return graph


class _Credential:
    """A token of the service's identity endpoint."""

    def __init__(self, service: Service) -> None:
        headers = CIMultiDict({"X-IDENTITY-HEADER": service.tenant.identity.header})
        call = Call("GET", _TOKEN_PATH, CIMultiDictProxy(headers))
        answer = service.tenant.identity.answer(call).json()
        self._token = AccessToken(answer["access_token"], int(answer["expires_on"]))

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return self._token


class DirectAdapter(BaseAdapter):
    """Passes requests to the service; a broken connection raises the library's error."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service
        self._builder = HTTPAdapter()

    @operation
    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Handle one request, recorded like any other."""
        parts = urlsplit(request.url or "")
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        headers = CIMultiDictProxy(CIMultiDict(request.headers.items()))
        body = request.body or b""
        visit = self._service.arrive(Call(request.method or "", str(target), headers))
        try:
            data = body.encode() if isinstance(body, str) else bytes(body)
            answer = self._service.answer(visit, data)
        finally:
            self._service.leave(visit)
        if visit.misbehaviour.breakage is not None:
            raise requests.ConnectionError("the connection broke", request=request)
        raw = urllib3.HTTPResponse(
            BytesIO(answer.body),
            headers=dict(answer.headers.items()),
            status=answer.status,
            preload_content=False,
        )
        return self._builder.build_response(request, raw)

    def close(self) -> None:
        """Close the adapter that builds responses."""
        self._builder.close()
