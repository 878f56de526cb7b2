"""Composition of the function app: settings → clients → blueprints."""

import logging

import azure.durable_functions as df
from azure.identity import ManagedIdentityCredential

from shared.outlook.clouds import graph_endpoint
from shared.outlook.graph_client import GraphClient
from shared.settings import read_app_settings
from shared.storage.accounts import blob_service
from shared.storage.blob_source import BlobSource
from shared.storage.session_store import SessionStore
from shared.storage.upload_grants import UploadGrants
from shared.transfer.activities import Attacher
from shared.transfer.announcing import Announcer
from shared.transfer.attachments import Attachments
from shared.transfer.functions import transfer_functions
from shared.transfer.inspection import Inspector
from shared.transfer.mailbox_budget import utc_now
from shared.transfer.readiness import Readiness
from shared.transfer.recording import Recorder
from shared.transfer.starting import Starter
from shared.transfer.telemetry import name_transfers_in_the_log
from shared.transfer.uploads import Uploads
from shared.triggers.blob import blob_functions
from shared.triggers.callers import Callers
from shared.triggers.event_grid import event_grid_functions
from shared.triggers.history import history_functions
from shared.triggers.http import TransferApi, http_functions
from shared.triggers.monitor_page import MonitorPage

# Both log request URLs, urllib3 even in its warnings, and an upload URL is a credential.
logging.getLogger("azure").setLevel(logging.WARNING)
logging.getLogger("urllib3").setLevel(logging.ERROR)
name_transfers_in_the_log()

_settings = read_app_settings()
_values = _settings.values

_account = blob_service(_settings.source)
_source = BlobSource(_account.get_container_client(_values.source_container))
_sessions = SessionStore(
    blob_service(_settings.host_storage).get_container_client(_values.session_container)
)


def _credential() -> ManagedIdentityCredential:
    return ManagedIdentityCredential(client_id=_values.graph_client_id)


_graph = GraphClient(graph_endpoint(_values), _credential)
_starter = Starter(_values, _source)
_api = TransferApi(
    _starter,
    Attachments(_values, _source, _graph),
    Uploads(_values, UploadGrants(_account, _values.source_container)),
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
app.register_functions(
    http_functions(_api, Callers(signed_in=_values.sign_in_client_id is not None))
)
app.register_functions(event_grid_functions(_values, _starter, _account.primary_hostname))
app.register_functions(history_functions(_values, utc_now))
