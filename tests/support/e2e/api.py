"""A client of the stack's HTTP API, and blobs for it."""

import time
from collections.abc import Callable
from typing import Any

import requests
from azure.storage.blob import ContainerClient

from infra.local.drop import source_container
from infra.local.outlook import Fault, Kind, Misbehaviour
from infra.local.stack import Stack

_DEADLINE_SECONDS = 60.0
OVER = frozenset({"attached", "failed", "cancelled", "superseded"})


def until[T](observe: Callable[[], T | None], *, seconds: float = _DEADLINE_SECONDS) -> T:
    """Wait until something is there; fail if it never is."""
    deadline = time.monotonic() + seconds
    while (seen := observe()) is None:
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)
    return seen


class Api:
    """Calls with the stack's key, unless told otherwise."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.url = f"{stack.info.functions_url}/api"
        self.key = {"x-functions-key": stack.info.function_key}
        self.container: ContainerClient = source_container(stack.info)

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """One call; ``headers`` are added to the key's."""
        headers = self.key | options.pop("headers", {})
        return requests.request(method, self.url + path, headers=headers, timeout=30, **options)

    def order(self, **body: Any) -> requests.Response:
        """Ask for a transfer."""
        headers = body.pop("headers", {})
        return self.call("POST", "/transfers", json=body, headers=headers)

    def next_fails(self, kind: Kind, misbehaviour: Misbehaviour) -> None:
        """Let the next request of this kind meet the misbehaviour."""
        self._fail(kind, misbehaviour, after=0, times=1)

    def hold(self, kind: Kind, misbehaviour: Misbehaviour, *, after: int = 0) -> None:
        """Let so many more requests of this kind through, and none until other faults are said."""
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
        """Put a blob in, and wait until the blob door has seen it; its name."""
        self.container.upload_blob(name, content, overwrite=True, metadata=metadata)
        until(lambda: self.record(name).get("attachmentstatus"))
        return name

    def record(self, name: str) -> dict[str, str]:
        """What the blob's metadata say."""
        return dict(self.container.get_blob_client(name).get_blob_properties().metadata)

    def transfer(self, id_: str) -> dict[str, Any]:
        """A transfer as it stands."""
        answer = self.call("GET", f"/transfers/{id_}")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def ended(self, id_: str) -> dict[str, Any]:
        """A transfer, once it has come to its end."""

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
