"""A transport to Azurite that makes chosen requests fail."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import requests
import urllib3
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import HttpRequest, RequestsTransport
from azure.core.rest._requests_basic import RestRequestsTransportResponse
from azure.data.tables import TableEntity
from azure.storage.blob import BlobServiceClient

from shared.storage.ledger import TABLE
from shared.transfer.activities.mailbox_locks import TABLE as LOCKS
from tests.support.in_memory.tables import MemoryTable, MemoryTables

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
        send = super().send
        return self.perform(request, lambda: send(request, **kwargs), lambda: _server_busy(request))

    def perform(self, request: HttpRequest, do: Callable[[], Any], busy: Callable[[], Any]) -> Any:
        """Do what the request asks for, make it fail, or both; ``busy`` is its 503."""
        self.before(request)
        plan = self._plan
        if plan is None or not plan.applies_to(request):
            return do()
        number, self.seen = self.seen, self.seen + 1
        if not plan.fails(number):
            return do()
        self.failed += 1
        if plan.how == "no connection":
            raise ServiceRequestError("The connection was refused.")
        if plan.how in {"503 though done", "answer lost"}:
            do()
        if plan.how == "answer lost":
            raise ServiceResponseError("The connection was closed without a response.")
        return busy()


class FaultyTables(MemoryTables):
    """Tables in memory whose requests fail as those of the transport do."""

    def __init__(self, transport: FaultyTransport) -> None:
        super().__init__()
        self._transport = transport

    def get_table_client(self, name: str) -> MemoryTable:
        """A client of one table."""
        return self.tables.setdefault(name, FaultyTable(name, self._transport))


class FaultyTable(MemoryTable):
    """One of them."""

    def __init__(self, name: str, transport: FaultyTransport) -> None:
        super().__init__()
        self._url = f"memory://tables/{name}"
        self._transport = transport

    def get_entity(self, partition_key: str, row_key: str, **_: object) -> TableEntity:
        """A row with its ETag."""
        get = super().get_entity
        entity: TableEntity = self._perform("GET", lambda: get(partition_key, row_key))
        return entity

    def create_entity(self, row: Mapping[str, Any], **options: object) -> dict[str, Any]:
        """Write a row that is not there yet."""
        create = super().create_entity
        written: dict[str, Any] = self._perform("POST", lambda: create(row, **options))
        return written

    def update_entity(
        self, row: Mapping[str, Any], *, etag: str, match_condition: MatchConditions, **_: object
    ) -> dict[str, Any]:
        """Replace the version of a row with this ETag."""
        update = super().update_entity
        written: dict[str, Any] = self._perform(
            "PUT", lambda: update(row, etag=etag, match_condition=match_condition)
        )
        return written

    def _perform(self, method: str, do: Callable[[], Any]) -> Any:
        return self._transport.perform(HttpRequest(method, self._url), do, _raise_busy)


def _raise_busy() -> Any:
    error = HttpResponseError("The server is busy.")
    error.status_code = 503
    error.error_code = "ServerBusy"  # type: ignore[attr-defined]
    raise error


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


def is_for_ledger(request: HttpRequest) -> bool:
    """Whether the request goes to the ledger's table."""
    return request.url.endswith(f"/{TABLE}")


def is_for_locks(request: HttpRequest) -> bool:
    """Whether the request goes to the table of the locks."""
    return request.url.endswith(f"/{LOCKS}")


def is_metadata_write(request: HttpRequest) -> bool:
    """Whether it is a Set Blob Metadata."""
    return request.method == "PUT" and "comp=metadata" in request.url
