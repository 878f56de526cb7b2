"""A client of the stack's HTTP API, which also uploads blobs and sets faults."""

from typing import Any

import requests
from azure.storage.blob import ContainerClient

from infra.local.drop import source_container
from infra.local.outlook import Fault, Kind, Misbehaviour
from infra.local.stack import Stack
from tests.support.waiting import until

OVER = frozenset({"attached", "failed", "cancelled", "superseded"})


class Api:
    """Calls the API with the stack's key, unless the headers say otherwise."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.url = f"{stack.info.functions_url}/api"
        self.key = {"x-functions-key": stack.info.function_key}
        self.container: ContainerClient = source_container(stack.info)

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """One call; ``headers`` are added to the key's."""
        headers = self.key | options.pop("headers", {})
        return requests.request(method, self.url + path, headers=headers, timeout=30, **options)

    def request_transfer(self, **body: Any) -> requests.Response:
        """Request a transfer."""
        headers = body.pop("headers", {})
        return self.call("POST", "/transfers", json=body, headers=headers)

    def next_fails(self, kind: Kind, misbehaviour: Misbehaviour) -> None:
        """Apply the misbehaviour to the next request of this kind."""
        self._fail(kind, misbehaviour, after=0, times=1)

    def hold(self, kind: Kind, misbehaviour: Misbehaviour, *, after: int = 0) -> None:
        """Apply it to all requests of this kind after the next ``after``; clears other faults."""
        self.stack.outlook.faults.clear()
        self._fail(kind, misbehaviour, after=after, times=None)

    def _fail(
        self, kind: Kind, misbehaviour: Misbehaviour, *, after: int, times: int | None
    ) -> None:
        outlook = self.stack.outlook
        occurrence = 1 + after + sum(each.kind == kind for each in outlook.requests)
        fault = Fault(misbehaviour=misbehaviour, kind=kind, occurrence=occurrence, times=times)
        outlook.faults.add(fault)

    def put(self, name: str, content: bytes, **metadata: str) -> str:
        """Upload a blob, and wait until its transfer has written a record; its name."""
        self.container.upload_blob(name, content, overwrite=True, metadata=metadata)
        until(lambda: self.record(name).get("attachmentstatus"))
        return name

    def record(self, name: str) -> dict[str, str]:
        """The blob's metadata."""
        return dict(self.container.get_blob_client(name).get_blob_properties().metadata)

    def transfer(self, id_: str) -> dict[str, Any]:
        """A transfer as it is now."""
        response = self.call("GET", f"/transfers/{id_}")
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    def ended(self, id_: str) -> dict[str, Any]:
        """A transfer, once it has ended."""

        def over() -> dict[str, Any] | None:
            found = self.transfer(id_)
            return found if found["state"] in OVER else None

        return until(over)

    def reaches(self, id_: str, state: str) -> dict[str, Any]:
        """A transfer, once it is in that state."""

        def there() -> dict[str, Any] | None:
            found = self.transfer(id_)
            return found if found["state"] == state else None

        return until(there)
