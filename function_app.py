"""Composition of the function app: settings → clients → blueprints."""

import logging

import azure.durable_functions as df
from azure.identity import ManagedIdentityCredential

from shared.outlook.clouds import graph_endpoint
from shared.outlook.graph_client import GraphClient
from shared.settings import read_app_settings
from shared.storage.accounts import blob_service
from shared.storage.presigned_urls import PresignedUrls
from shared.storage.session_store import SessionStore
from shared.storage.source_container import SourceContainer
from shared.transfer.activities.announce_end import Announcer
from shared.transfer.activities.attach_file import Attacher
from shared.transfer.activities.inspect_blob import Inspector
from shared.transfer.activities.record_attachment import Recorder
from shared.transfer.activities.telemetry import add_transfer_id_to_logs
from shared.transfer.functions import transfer_functions
from shared.transfer.retry_policy import RESPONSE_RULES
from shared.transfer.service.attachments import Attachments
from shared.transfer.service.readiness import Readiness
from shared.transfer.service.start import Starter
from shared.transfer.service.upload_link import UploadLinks
from shared.transfer.workflow.mailbox_budget import utc_now
from shared.triggers.blob import blob_functions
from shared.triggers.event_grid import event_grid_functions
from shared.triggers.http.monitor_page import MonitorPage
from shared.triggers.http.routes import TransferApi, http_functions
from shared.triggers.timer import history_functions

# Both log request URLs, urllib3 even in its warnings, and an upload URL is a credential.
logging.getLogger("azure").setLevel(logging.WARNING)
logging.getLogger("urllib3").setLevel(logging.ERROR)
add_transfer_id_to_logs()

_settings = read_app_settings()
_values = _settings.values

_account = blob_service(_settings.source)
_source = SourceContainer(_account.get_container_client(_values.source_container))
_sessions = SessionStore(
    blob_service(_settings.host_storage).get_container_client(_values.session_container)
)


def _credential() -> ManagedIdentityCredential:
    return ManagedIdentityCredential(client_id=_values.graph_client_id)


_graph = GraphClient(graph_endpoint(_values), _credential, RESPONSE_RULES)
_starter = Starter(_values, _source)
_api = TransferApi(
    _starter,
    Attachments(_values, _source, _graph),
    UploadLinks(_values, PresignedUrls(_account, _values.source_container)),
    Readiness(_source, _graph),
    MonitorPage(_account.primary_endpoint),
)

app = df.DFApp()
app.register_functions(
    transfer_functions(
        Inspector(_values, _source),
        Attacher(_values, _source, _sessions, _graph),
        Recorder(_source, _sessions),
        Announcer(_values, _source, _credential),
    )
)
app.register_functions(blob_functions(_starter, _settings.source.name))
app.register_functions(http_functions(_api))
app.register_functions(event_grid_functions(_values, _starter, _account.primary_hostname))
app.register_functions(history_functions(_values, utc_now))
