"""A plain client for the emulator: it sends requests and decides nothing."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import requests

from infra.local.outlook import ItemKind, OutlookEmulator

MAILBOX = "reports@contoso.com"
COLLECTIONS: dict[ItemKind, str] = {"message": "messages", "event": "events"}
IMMUTABLE = {"Prefer": 'IdType="ImmutableId"'}


class Clock:
    """A clock that stands still until it is advanced."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        """Advance the clock."""
        self.now += timedelta(seconds=seconds)


class Client:
    """A client of one mailbox, with its own token and connections."""

    def __init__(self, emulator: OutlookEmulator) -> None:
        self.emulator = emulator
        self.http = requests.Session()
        self.token = self.request_token().json()["access_token"]

    def close(self) -> None:
        """Close its connections."""
        self.http.close()

    def request_token(
        self, resource: str = "https://graph.microsoft.com", **headers: str
    ) -> requests.Response:
        """Request a token; headers replace the right one."""
        return self.http.get(
            self.emulator.identity_endpoint,
            params={"api-version": "2019-08-01", "resource": resource},
            headers=headers or {"X-IDENTITY-HEADER": self.emulator.identity_header},
        )

    def item_url(self, item: str, kind: ItemKind = "message", version: str = "v1.0") -> str:
        """The URL of an item."""
        return (
            f"{self.emulator.url}/{version}/users/{quote(MAILBOX, safe='')}"
            f"/{COLLECTIONS[kind]}/{quote(item, safe='')}"
        )

    def graph(
        self, method: str, url: str, headers: dict[str, str] | None = None, **rest: Any
    ) -> requests.Response:
        """A request with the bearer token and immutable ids."""
        bearer = {"Authorization": f"Bearer {self.token}"}
        return self.http.request(method, url, headers=bearer | IMMUTABLE | (headers or {}), **rest)

    def create(
        self, item: str, size: int, kind: ItemKind = "message", **properties: Any
    ) -> requests.Response:
        """Request an upload session."""
        description = {"attachmentType": "file", "name": "flower", "size": size} | properties
        return self.graph(
            "POST",
            f"{self.item_url(item, kind)}/attachments/createUploadSession",
            json={"AttachmentItem": description},
        )

    def session(self, item: str, size: int, kind: ItemKind = "message", **properties: Any) -> str:
        """The upload URL of a new session."""
        created = self.create(item, size, kind, **properties)
        assert created.status_code == 201, created.text
        return str(created.json()["uploadUrl"])

    def put(
        self, url: str, content: bytes, start: int, total: int, **headers: str
    ) -> requests.Response:
        """PUT one range; headers replace the right ones, with underscores for hyphens."""
        right = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"bytes {start}-{start + len(content) - 1}/{total}",
        }
        others = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.put(url, data=content, headers=right | others)

    def upload(
        self, item: str, content: bytes, range_bytes: int, **properties: Any
    ) -> requests.Response:
        """Upload a whole file through a session; the response to its last range."""
        url = self.session(item, len(content), **properties)
        for start in range(0, len(content), range_bytes):
            response = self.put(url, content[start : start + range_bytes], start, len(content))
        return response

    def small(
        self, item: str, content: bytes = b"hello", kind: ItemKind = "message", **properties: Any
    ) -> requests.Response:
        """Upload a file in one POST."""
        body = {
            "@odata.type": "#microsoft.graph.fileAttachment",
            "name": "note.txt",
            "contentBytes": base64.b64encode(content).decode(),
        }
        return self.graph(
            "POST", f"{self.item_url(item, kind)}/attachments", json=body | properties
        )

    def names(self, item: str) -> Iterator[str]:
        """The names of the item's attachments, from every page."""
        url = f"{self.item_url(item)}/attachments?$select=name"
        while url:
            page = self.graph("GET", url).json()
            yield from (each["name"] for each in page["value"])
            url = page.get("@odata.nextLink", "")


def refusal(response: requests.Response) -> tuple[int, str]:
    """The status and the Graph error code of a response."""
    return response.status_code, str(response.json()["error"]["code"])
