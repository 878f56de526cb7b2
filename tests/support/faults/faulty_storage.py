"""Azure Storage on a bad day: a transport in front of Azurite that fails what it is told to."""

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
type Concerns = Callable[[HttpRequest], bool]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which requests fail, and how: of those it ``concerns``, ``times`` from number ``first`` on.

    ``times`` is None for ever.
    """

    how: Failure
    first: int = 0
    times: int | None = 1
    concerns: Concerns = lambda _: True

    def meets(self, number: int) -> bool:
        """Whether the request of that number, from 0 on, fails."""
        return number >= self.first and (self.times is None or number < self.first + self.times)


class FaultyTransport(RequestsTransport):  # type: ignore[misc]  # exported without its type
    """Sends to the storage account unless the plan says otherwise.

    ``seen`` counts the requests that the plan concerns, ``failed`` those that failed; ``before``
    is called with every request before it is sent.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seen = self.failed = 0
        self.before: Callable[[HttpRequest], object] = lambda _: None
        self._plan: Plan | None = None

    def follow(self, plan: Plan) -> None:
        """Fail by this plan from now on."""
        self.seen = 0
        self._plan = plan

    def heal(self) -> None:
        """Fail no more."""
        self._plan = None

    def send(self, request: HttpRequest, **kwargs: Any) -> Any:
        """Send, fail, or both."""
        self.before(request)
        plan = self._plan
        if plan is None or not plan.concerns(request):
            return super().send(request, **kwargs)
        number, self.seen = self.seen, self.seen + 1
        if not plan.meets(number):
            return super().send(request, **kwargs)
        self.failed += 1
        return self._fail(plan.how, request, **kwargs)

    def _fail(self, how: Failure, request: HttpRequest, **kwargs: Any) -> Any:
        if how == "no connection":
            raise ServiceRequestError("The connection was refused.")
        if how in {"503 though done", "answer lost"}:
            super().send(request, **kwargs)
        if how == "answer lost":
            raise ServiceResponseError("The connection was closed without an answer.")
        return _server_busy(request)


def _server_busy(request: HttpRequest) -> Any:
    answer = requests.Response()
    answer.status_code, answer.reason = 503, "The server is busy."
    answer.headers["x-ms-error-code"] = "ServerBusy"
    answer.raw = urllib3.HTTPResponse(io.BytesIO(b""), status=503, preload_content=False)
    untyped: Any = RestRequestsTransportResponse
    return untyped(request=request, internal_response=answer)


def storage_over(transport: FaultyTransport) -> Callable[[str], BlobServiceClient]:
    """Makes clients over this transport that try once: the SDK's retries would only hide it."""

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
