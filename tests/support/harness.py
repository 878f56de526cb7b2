"""Single transfers on a virtual clock, between a real Azurite and the Outlook emulator.

The real orchestrator and activities run step by step on Durable's own engine. Blobs and HTTP
requests are real; waits take no time.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import azure.durable_functions as df
import requests
from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import ClientAuthenticationError, ResourceExistsError
from azure.storage.blob import BlobServiceClient, ContainerClient, ContentSettings

from infra.local.outlook import OutlookEmulator
from shared.app import Clients
from shared.outlook.byte_ranges import ByteRange
from shared.outlook.clouds import graph_endpoint
from shared.outlook.graph_client import GraphClient
from shared.outlook.item import OutlookFile, OutlookItem
from shared.storage.session_store import SessionStore
from shared.storage.source_container import SourceContainer
from shared.transfer.activities.attach_file import Attacher
from shared.transfer.payloads import TransferStatus
from shared.transfer.retry_policy import RESPONSE_RULES
from shared.transfer.workflow.orchestrator import attach_blob
from tests.support.engine.clock import VirtualClock
from tests.support.engine.virtual_engine import VirtualEngine
from tests.support.in_memory.tables import MemoryTables, open_entries
from tests.support.virtual_app import VirtualApp, no_credential, settings_for

CONTENT_TYPE = "application/pdf"


class EmulatorCredential:
    """The emulator's token, requested once; needs no environment variables."""

    def __init__(self, emulator: OutlookEmulator) -> None:
        self._emulator = emulator
        self._token: AccessToken | None = None

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        """The token for the scope's resource.

        Raises :class:`ClientAuthenticationError`, as Azure's own credentials do.
        """
        if self._token is None:
            try:
                self._token = self._request(scopes[0].removesuffix("/.default"))
            except (requests.RequestException, ValueError, KeyError):
                raise ClientAuthenticationError("The identity endpoint gave no token.") from None
        return self._token

    def _request(self, resource: str) -> AccessToken:
        response = requests.get(
            self._emulator.identity_endpoint,
            params={"api-version": "2019-08-01", "resource": resource},
            headers={"X-IDENTITY-HEADER": self._emulator.identity_header},
            timeout=5,
        )
        response.raise_for_status()
        token = response.json()
        return AccessToken(token["access_token"], int(token["expires_on"]))


class RecordingClient:
    """The call of Durable's client that triggers make; records the instances to start."""

    def __init__(self) -> None:
        self.started: list[tuple[str, dict[str, Any]]] = []

    async def schedule_new_orchestration(
        self, orchestrator: str, *, input: dict[str, Any], instance_id: str
    ) -> str:
        assert orchestrator == attach_blob.__name__
        self.started.append((instance_id, json.loads(json.dumps(input))))
        return instance_id


@dataclass(frozen=True, kw_only=True)
class Product:
    """The parts of the app that a test may replace.

    ``timeouts`` are the connect and read timeouts of calls to Graph, in seconds.
    """

    storage: Callable[[str], BlobServiceClient] = BlobServiceClient.from_connection_string
    source: Callable[[ContainerClient], SourceContainer] = SourceContainer
    store: Callable[[ContainerClient], SessionStore] = SessionStore
    tables: Callable[[], MemoryTables] = MemoryTables
    graph: type[GraphClient] = GraphClient
    attacher: type[Attacher] = Attacher
    timeouts: tuple[float, float] = (2.0, 2.0)


AS_SHIPPED = Product()


class Harness(VirtualApp):
    """One app over a container, which is created if it is missing, and an emulator."""

    def __init__(
        self,
        connection_string: str,
        emulator: OutlookEmulator,
        clock: VirtualClock,
        container: str,
        product: Product = AS_SHIPPED,
        /,
        **settings: object,
    ) -> None:
        self.emulator = emulator
        self._service = product.storage(connection_string)
        self.container = self._service.get_container_client(container)
        with suppress(ResourceExistsError):
            self.container.create_container()
        self.sessions = self._service.get_container_client(f"{container}-sessions")
        self.memory_tables = product.tables()
        values = settings_for(emulator.url, **settings)
        graph = product.graph(
            graph_endpoint(values),
            lambda: cast("TokenCredential", EmulatorCredential(emulator)),
            RESPONSE_RULES,
            timeouts=product.timeouts,
        )
        super().__init__(
            values,
            clock,
            Clients(
                product.source(self.container),
                product.store(self.sessions),
                self.memory_tables.as_client(),
                graph,
                no_credential,
            ),
            attacher=product.attacher,
        )

    def close(self) -> None:
        """Close the connections."""
        super().close()
        self._service.close()

    def put(self, name: str, content: bytes, **metadata: str) -> None:
        """Upload a blob; ``metadata`` may name its item."""
        self.container.upload_blob(
            name,
            content,
            overwrite=True,
            metadata=metadata,
            content_settings=ContentSettings(content_type=CONTENT_TYPE),
        )

    def put_without_md5(self, name: str, content: bytes, **metadata: str) -> None:
        """Upload a blob in blocks, as clients upload large ones: it has no MD5."""
        blob = self.container.get_blob_client(name)
        blob.stage_block("MDAx", content)
        ids: list[Any] = ["MDAx"]
        settings = ContentSettings(content_type=CONTENT_TYPE)
        blob.commit_block_list(ids, metadata=metadata, content_settings=settings)

    def add_metadata(self, name: str, **metadata: str) -> None:
        """Write metadata as another client does; the keys that are there stay."""
        blob = self.container.get_blob_client(name)
        blob.set_blob_metadata(self.metadata(name) | metadata)

    def clear_md5(self, name: str) -> None:
        """Write the blob's properties as another client does, without an MD5 among them."""
        blob = self.container.get_blob_client(name)
        blob.set_http_headers(ContentSettings(content_type=CONTENT_TYPE))

    def open_entries(self) -> list[str]:
        """The ids of the transfers whose row in the ledger is open, or has an upload URL."""
        return open_entries(self.memory_tables)

    def metadata(self, name: str) -> dict[str, str]:
        """The blob's metadata as it is now."""
        return dict(self.container.get_blob_client(name).get_blob_properties().metadata)

    def start(self, name: str) -> tuple[str, dict[str, Any]]:
        """What the blob trigger starts for this blob: instance id and input."""
        client = RecordingClient()
        asyncio.run(self.late_starter.from_blob(cast("df.DurableFunctionsClient", client), name))
        return client.started[0]

    def begin(self, name: str) -> VirtualEngine:
        """The transfer of a blob, about to run its first activity."""
        return self.start_engine(*self.start(name))

    def transfer(self, name: str) -> TransferStatus:
        """Run the transfer of a blob to its end."""
        return TransferStatus.from_json(self.begin(name).run())

    def attach_as_another_client(
        self, item: OutlookItem, file: OutlookFile, content: bytes
    ) -> None:
        """Attach a file to the item without the app, in one range."""
        created = self.graph.create_upload_session(item, file)
        url = self.graph.upload_url(created.body["uploadUrl"])
        all_bytes = ByteRange(0, file.size)
        assert self.graph.put_range(url, all_bytes, file.size, content).status == 201

    @property
    def durable_state(self) -> str:
        """All histories and custom statuses so far, as text."""
        return "".join(str(engine.history) + str(engine.statuses) for engine in self.started)
