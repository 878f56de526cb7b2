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
from shared.transfer.activities import Attacher
from shared.transfer.functions import transfer_functions
from shared.transfer.inspection import Inspector
from shared.transfer.recording import Recorder
from shared.triggers.blob import blob_functions

# Both log request URLs, urllib3 even in its warnings, and an upload URL is a credential.
logging.getLogger("azure").setLevel(logging.WARNING)
logging.getLogger("urllib3").setLevel(logging.ERROR)

_settings = read_app_settings()
_values = _settings.values

_source = BlobSource(blob_service(_settings.source).get_container_client(_values.source_container))
_sessions = SessionStore(
    blob_service(_settings.host_storage).get_container_client(_values.session_container)
)
_graph = GraphClient(
    graph_endpoint(_values),
    lambda: ManagedIdentityCredential(client_id=_values.graph_client_id),
)

app = df.DFApp()
app.register_functions(
    transfer_functions(
        Inspector(_values, _source),
        Attacher(_values, _source, _sessions, _graph),
        Recorder(_source, _sessions),
    )
)
app.register_functions(blob_functions(_source, _settings.source.name))
