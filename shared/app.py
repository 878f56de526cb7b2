"""Composition of the function app: settings → clients → blueprints."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import azure.durable_functions as df
from azure.core.credentials import TokenCredential
from azure.data.tables import TableServiceClient
from azure.identity import ManagedIdentityCredential
from azure.storage.blob import BlobServiceClient

from shared.outlook.clouds import graph_endpoint
from shared.outlook.graph_client import GraphClient
from shared.settings import AppSettings, Settings
from shared.storage.accounts import blob_service, table_service
from shared.storage.ledger import Ledger
from shared.storage.listing import Listing
from shared.storage.presigned_urls import PresignedUrls
from shared.storage.session_store import SessionStore
from shared.storage.source_container import SourceContainer
from shared.transfer.activities.announce_end import Announcer
from shared.transfer.activities.attach_file import Attacher
from shared.transfer.activities.claims import Claims
from shared.transfer.activities.inspect_blob import Inspector
from shared.transfer.activities.mailbox_locks import MailboxLocks
from shared.transfer.activities.mailbox_queue import Limits
from shared.transfer.activities.record_attachment import Recorder
from shared.transfer.activities.telemetry import add_transfer_id_to_logs
from shared.transfer.functions import Activities, transfer_functions
from shared.transfer.retry_policy import RESPONSE_RULES
from shared.transfer.service.attachments import Attachments
from shared.transfer.service.readiness import Readiness
from shared.transfer.service.start import Starter
from shared.transfer.service.upload_link import UploadLinks
from shared.triggers.blob import blob_functions
from shared.triggers.callers import Callers
from shared.triggers.event_grid import event_grid_functions
from shared.triggers.http.monitor_page import MonitorPage
from shared.triggers.http.routes import TransferApi, http_functions
from shared.triggers.timer import history_functions

# Both libraries log request URLs, urllib3 even in its warnings. An upload URL is a credential.
LOG_LEVELS = {"azure": logging.WARNING, "urllib3": logging.ERROR}


@dataclass(frozen=True, slots=True)
class Clients:
    """The services that a transfer uses. ``new_credential`` makes the app's own identity."""

    source: SourceContainer
    sessions: SessionStore
    tables: TableServiceClient
    graph: GraphClient
    new_credential: Callable[[], TokenCredential]


def create_app(settings: AppSettings) -> df.DFApp:
    """The function app over Azure's own services."""
    for name, level in LOG_LEVELS.items():
        logging.getLogger(name).setLevel(level)
    add_transfer_id_to_logs()
    account = blob_service(settings.source)
    return compose_app(settings, account, azure_clients(settings, account), utc_now)


def azure_clients(settings: AppSettings, account: BlobServiceClient) -> Clients:
    """Clients of Azure and Graph. They send nothing yet."""
    values = settings.values
    host_storage = blob_service(settings.host_storage)

    def new_credential() -> TokenCredential:
        return ManagedIdentityCredential(client_id=values.graph_client_id)

    tables = table_service(settings.host_storage)
    return Clients(
        SourceContainer(
            account.get_container_client(values.source_container), owner=str(tables.account_name)
        ),
        SessionStore(host_storage.get_container_client(values.session_container)),
        tables,
        GraphClient(graph_endpoint(values), new_credential, RESPONSE_RULES),
        new_credential,
    )


def compose_app(
    settings: AppSettings,
    account: BlobServiceClient,
    clients: Clients,
    clock: Callable[[], datetime],
) -> df.DFApp:
    """The function app over these clients; ``account`` is the one that holds the source."""
    values = settings.values
    listing = Listing(clients.tables, clock)
    starter = Starter(values, clients.source, listing)
    app = df.DFApp()
    app.register_functions(transfer_functions(activities(values, clients, clock), values, clock))
    app.register_functions(blob_functions(starter, settings.source.name))
    callers = Callers(signed_in=values.sign_in_client_id is not None)
    app.register_functions(http_functions(_http_api(values, account, clients, starter), callers))
    app.register_functions(event_grid_functions(values, starter, account.primary_hostname))
    app.register_functions(history_functions(values, Ledger(clients.tables), listing, clock))
    return app


def activities(settings: Settings, clients: Clients, clock: Callable[[], datetime]) -> Activities:
    """The activities of transfers over these clients."""
    ledger = Ledger(clients.tables)
    listing = Listing(clients.tables, clock)
    locks = MailboxLocks(clients.tables, Limits.of(settings), clock)
    claims = Claims(ledger, clients.sessions)
    return Activities(
        Inspector(settings, clients.source, ledger, listing),
        Attacher(settings, clients.source, claims, locks, clients.graph),
        Recorder(clients.source, ledger, clients.sessions, listing),
        Announcer(settings, clients.source, clients.new_credential),
    )


def _http_api(
    settings: Settings, account: BlobServiceClient, clients: Clients, starter: Starter
) -> TransferApi:
    return TransferApi(
        starter,
        starter.listing,
        Attachments(
            settings, clients.source, Ledger(clients.tables), clients.graph, starter.listing
        ),
        UploadLinks(settings, PresignedUrls(account, settings.source_container)),
        Readiness(clients.source, Ledger(clients.tables), clients.graph),
        MonitorPage(account.primary_endpoint),
    )


def utc_now() -> datetime:
    """The time of this machine."""
    return datetime.now(UTC)
