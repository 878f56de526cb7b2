"""A transfer on a virtual clock: the real orchestrator and activities, driven step by step.

Real parts on both sides: blobs in Azurite, the strict emulator as Outlook, and Durable's own engine
between them. Hours pass in no time, and every run is the same.
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
from shared.outlook.byte_ranges import ByteRange
from shared.outlook.clouds import graph_endpoint
from shared.outlook.graph_client import GraphClient
from shared.outlook.item import OutlookFile, OutlookItem
from shared.settings import Settings
from shared.storage.session_store import SessionStore
from shared.storage.source_container import SourceContainer
from shared.transfer.activities.announce_end import Announcer
from shared.transfer.activities.attach_file import Attacher
from shared.transfer.activities.inspect_blob import Inspector
from shared.transfer.activities.record_attachment import Recorder
from shared.transfer.functions import transfer_functions
from shared.transfer.payloads import TransferStatus
from shared.transfer.retry_policy import RESPONSE_RULES
from shared.transfer.service.start import Starter
from shared.transfer.workflow.mailbox_budget import lock_entities
from shared.transfer.workflow.orchestrator import attach_blob
from tests.virtual_engine import Activity, VirtualClock, VirtualEngine, VirtualEntities

MAILBOX = "reports@contoso.com"


class EmulatorCredential:
    """A token of the emulator's identity endpoint, asked for once, without the environment."""

    def __init__(self, emulator: OutlookEmulator) -> None:
        self._emulator = emulator
        self._token: AccessToken | None = None

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        """The token for the scope's resource.

        Raises :class:`ClientAuthenticationError`, as Azure's own credentials do.
        """
        if self._token is None:
            try:
                self._token = self._ask(scopes[0].removesuffix("/.default"))
            except (requests.RequestException, ValueError, KeyError):
                raise ClientAuthenticationError("The identity endpoint gave no token.") from None
        return self._token

    def _ask(self, resource: str) -> AccessToken:
        answer = requests.get(
            self._emulator.identity_endpoint,
            params={"api-version": "2019-08-01", "resource": resource},
            headers={"X-IDENTITY-HEADER": self._emulator.identity_header},
            timeout=5,
        )
        answer.raise_for_status()
        token = answer.json()
        return AccessToken(token["access_token"], int(token["expires_on"]))


class StartingClient:
    """The one call of Durable's client that a door makes; keeps what it was asked to start."""

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
    """The parts of the app that a test may put others in place of.

    ``timeouts``, in seconds, are those of the calls to Graph.
    """

    storage: Callable[[str], BlobServiceClient] = BlobServiceClient.from_connection_string
    source: Callable[[ContainerClient], SourceContainer] = SourceContainer
    store: Callable[[ContainerClient], SessionStore] = SessionStore
    graph: type[GraphClient] = GraphClient
    attacher: type[Attacher] = Attacher
    timeouts: tuple[float, float] = (2.0, 2.0)


AS_SHIPPED = Product()


class Harness:
    """One app over one container, which is made if need be, and one emulator."""

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
        self.clock = clock
        self.emulator = emulator
        self.engines: list[VirtualEngine] = []
        self.running: dict[str, VirtualEngine] = {}
        self.settings = Settings.model_validate(
            {"graph_base_url": emulator.url, "allowed_mailboxes": "*", **settings}
        )
        self._service = product.storage(connection_string)
        self.container = self._service.get_container_client(container)
        with suppress(ResourceExistsError):
            self.container.create_container()
        self.sessions = self._service.get_container_client(f"{container}-sessions")
        self.source = product.source(self.container)
        self.graph = product.graph(
            graph_endpoint(self.settings),
            lambda: cast("TokenCredential", EmulatorCredential(emulator)),
            RESPONSE_RULES,
            timeouts=product.timeouts,
        )
        self.starter = Starter(self.settings, self.source)
        store = product.store(self.sessions)
        self.entities = VirtualEntities(lock_entities(self.settings, clock))
        self.activities = _by_name(
            transfer_functions(
                Inspector(self.settings, self.source),
                product.attacher(self.settings, self.source, store, self.graph),
                Recorder(self.source, store),
                Announcer(self.settings, self.source, _no_credential),
            )
        )

    def close(self) -> None:
        """Close the connections."""
        self.graph.close()
        self._service.close()

    def put(self, name: str, content: bytes, **metadata: str) -> None:
        """Put a blob in; ``metadata`` may name its item."""
        settings = ContentSettings(content_type="application/pdf")
        self.container.upload_blob(
            name, content, overwrite=True, metadata=metadata, content_settings=settings
        )

    def notes(self) -> list[str]:
        """The transfers that the session store still knows."""
        return list(self.sessions.list_blob_names()) if self.sessions.exists() else []

    def metadata(self, name: str) -> dict[str, str]:
        """The blob's metadata as it is now."""
        return dict(self.container.get_blob_client(name).get_blob_properties().metadata)

    def start(self, name: str) -> tuple[str, dict[str, Any]]:
        """What the door starts for this blob: instance id and input."""
        client = StartingClient()
        asyncio.run(self.starter.from_blob(cast("df.DurableFunctionsClient", client), name))
        return client.started[0]

    def begin(self, name: str) -> VirtualEngine:
        """The transfer that a blob asks for, about to do its first activity."""
        return self.engine(*self.start(name))

    def engine(self, instance_id: str, payload: dict[str, Any]) -> VirtualEngine:
        """An orchestration with this id and input."""
        parts = (self.activities, self.entities, self.running)
        engine = VirtualEngine(self.clock, attach_blob, instance_id, payload, *parts)
        self.running[instance_id] = engine
        self.engines.append(engine)
        return engine

    def transfer(self, name: str) -> TransferStatus:
        """Start and run what a blob asks for, to its end."""
        return TransferStatus.from_json(self.begin(name).run())

    def attach_as_someone_else(self, item: OutlookItem, file: OutlookFile, content: bytes) -> None:
        """Attach a file to the item past the app, in one range."""
        created = self.graph.create_upload_session(item, file)
        url = self.graph.upload_url(created.body["uploadUrl"])
        whole = ByteRange(0, file.size)
        assert self.graph.put_range(url, whole, file.size, content).status == 201

    @property
    def kept(self) -> str:
        """All that Durable keeps of the transfers so far, as text."""
        return "".join(str(engine.history) + str(engine.statuses) for engine in self.engines)


def _by_name(blueprint: df.Blueprint) -> dict[str, Activity]:
    app = df.DFApp()
    app.register_functions(blueprint)
    return {str(f.get_function_name()): f.get_user_function() for f in app.get_functions()}


def _no_credential() -> Any:
    raise AssertionError("no topic is set")
