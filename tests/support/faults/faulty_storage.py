"""A transport to Azurite that makes chosen requests fail."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import requests
import urllib3
from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import HttpRequest, RequestsTransport
from azure.core.rest._requests_basic import RestRequestsTransportResponse
from azure.storage.blob import BlobServiceClient

type Failure = Literal["503", "503 though done", "no connection", "answer lost"]
FAILURES: tuple[Failure, ...] = ("503", "503 though done", "no connection", "answer lost")
type AppliesTo = Callable[[HttpRequest], bool]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which requests fail, and how.

    Of the requests that it ``applies_to``, ``times`` fail from number ``first`` on; all of them
    if ``times`` is None.
    """

    how: Failure
    first: int = 0
    times: int | None = 1
    applies_to: AppliesTo = lambda _: True

    def fails(self, number: int) -> bool:
        """Whether the request with this number, counted from 0, fails."""
        return number >= self.first and (self.times is None or number < self.first + self.times)


class FaultyTransport(RequestsTransport):  # type: ignore[misc]  # exported without its type
    """Sends requests to the storage account, unless its plan makes them fail.

    ``seen`` counts the requests that the plan applies to, ``failed`` those that failed. ``before``
    is called with every request before it is sent.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seen = self.failed = 0
        self.before: Callable[[HttpRequest], object] = lambda _: None
        self._plan: Plan | None = None

    def fail_by(self, plan: Plan) -> None:
        """Follow this plan from now on."""
        self.seen = 0
        self._plan = plan

    def recover(self) -> None:
        """Make no more requests fail."""
        self._plan = None

    def send(self, request: HttpRequest, **kwargs: Any) -> Any:
        """Send the request, make it fail, or both."""
        self.before(request)
        plan = self._plan
        if plan is None or not plan.applies_to(request):
            return super().send(request, **kwargs)
        number, self.seen = self.seen, self.seen + 1
        if not plan.fails(number):
            return super().send(request, **kwargs)
        self.failed += 1
        return self._fail(plan.how, request, **kwargs)

    def _fail(self, how: Failure, request: HttpRequest, **kwargs: Any) -> Any:
        if how == "no connection":
            raise ServiceRequestError("The connection was refused.")
        if how in {"503 though done", "answer lost"}:
            super().send(request, **kwargs)
        if how == "answer lost":
            raise ServiceResponseError("The connection was closed without an response.")
        return _server_busy(request)


def _server_busy(request: HttpRequest) -> Any:
    response = requests.Response()
    response.status_code, response.reason = 503, "The server is busy."
    response.headers["x-ms-error-code"] = "ServerBusy"
    response.raw = urllib3.HTTPResponse(io.BytesIO(b""), status=503, preload_content=False)
    untyped: Any = RestRequestsTransportResponse
    return untyped(request=request, internal_response=response)


def storage_over(transport: FaultyTransport) -> Callable[[str], BlobServiceClient]:
    """Makes clients over this transport without retries, which would hide its failures."""

    def storage(connection_string: str) -> BlobServiceClient:
        return BlobServiceClient.from_connection_string(
            connection_string, transport=transport, retry_total=0
        )

    return storage


def is_for_sessions(request: HttpRequest) -> bool:
    """Whether the request goes to the session store."""
    return "-sessions" in request.url


def is_metadata_write(request: HttpRequest) -> bool:
    """Whether it is a Set Blob Metadata."""
    return request.method == "PUT" and "comp=metadata" in request.url
