"""App settings, read once and validated at start with every fault named at once."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.errors import SettingsError
from shared.validation import field_faults

HOST_STORAGE = "AzureWebJobsStorage"
SOURCE_STORAGE = "SourceStorage"


def _comma_separated(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip().lower() for part in value.split(",") if part.strip())
    return value


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]
ContainerName = Annotated[
    str, Field(min_length=3, max_length=63, pattern=r"^[a-z0-9](-?[a-z0-9])*$")
]


class Settings(BaseSettings):
    """The app settings that are plain values. README describes each of them."""

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, extra="ignore")

    source_container: ContainerName = "outlook-attachments"
    session_container: ContainerName = "upload-sessions"
    allowed_mailboxes: CommaSeparated = ()
    graph_cloud: Literal["global", "usgov", "dod", "china"] = "global"
    graph_version: Literal["v1.0", "beta"] = "v1.0"
    graph_base_url: str | None = None
    upload_hosts: CommaSeparated = ()
    graph_client_id: str | None = None
    range_bytes: int = Field(default=3_932_160, ge=1, le=4_000_000)
    ranges_per_activity: int = Field(default=8, ge=1, le=1_000)
    max_attachment_bytes: int = Field(default=157_286_400, ge=0)
    max_download_bytes: int = Field(default=33_554_432, ge=0)
    mailbox_concurrency: int = Field(default=4, ge=1)
    mailbox_window_bytes: int = Field(default=150_000_000, ge=4_000_000)
    mailbox_window_seconds: int = Field(default=300, ge=1)
    transfer_deadline_minutes: float = Field(default=240, gt=0, le=43_200)
    queue_deadline_hours: float = Field(default=24, gt=0, le=720)
    reconcile_seconds: float = Field(default=120, ge=0, le=3_600)
    empty_blob_seconds: float = Field(default=300, ge=0, le=14_400)
    event_grid_topic_endpoint: str | None = None
    history_days: int = Field(default=30, ge=1)
    sign_in_client_id: str | None = None

    @field_validator("graph_base_url")
    @classmethod
    def _graph_root(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        # An invalid port raises an error of its own.
        has_host = parts.hostname and parts.port != 0
        plain = has_host and not (parts.query or parts.fragment or parts.username)
        if not plain or not (parts.scheme == "https" or is_loopback_http(value)):
            raise ValueError("should be an https URL without query, or http on loopback")
        return value.rstrip("/")

    @field_validator("event_grid_topic_endpoint")
    @classmethod
    def _topic_endpoint(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme != "https":
            raise ValueError("should be the https endpoint of an Event Grid topic")
        return value

    @field_validator("upload_hosts")
    @classmethod
    def _host_names(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*", host):
                raise ValueError(f"should be host names, without scheme, port or path: {host}")
        return hosts

    def allows(self, mailbox: str) -> bool:
        """Whether ALLOWED_MAILBOXES names the mailbox, in any case; ``*`` is the only wildcard."""
        return any(_matches(pattern, mailbox.lower()) for pattern in self.allowed_mailboxes)


def _matches(pattern: str, text: str) -> bool:
    """Whether the text matches, where each ``*`` stands for any text. Nothing is tried twice."""
    head, *parts = pattern.split("*")
    if not parts:
        return text == pattern
    *middle, tail = parts
    if len(text) < len(head) + len(tail) or not (text.startswith(head) and text.endswith(tail)):
        return False
    at, end = len(head), len(text) - len(tail)
    for part in middle:
        # The first place is the best one: it leaves most of the text to the parts that follow.
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


@dataclass(frozen=True, slots=True)
class StorageConnection:
    """A connection to one storage account, by connection string or by identity.

    ``name`` is the prefix of its app settings, and the ``connection`` of a trigger.
    """

    name: str
    connection_string: str | None = None
    service_uri: str | None = None
    table_uri: str | None = None
    client_id: str | None = None

    def __repr__(self) -> str:
        # A connection string contains the account's key.
        return f"StorageConnection({self.name!r})"


@dataclass(frozen=True, slots=True)
class AppSettings:
    """All that the app reads from its environment."""

    values: Settings
    source: StorageConnection
    host_storage: StorageConnection


def read_app_settings() -> AppSettings:
    """Read the environment.

    Raises :class:`SettingsError` with a line for every invalid setting.
    """
    faults: list[str] = []
    values: Settings | None = None
    try:
        values = Settings()
    except ValidationError as error:
        faults += [f"{fault.field.upper()}: {fault.message}" for fault in field_faults(error)]
    host_storage = _storage_connection(HOST_STORAGE, os.environ, faults)
    source = _storage_connection(SOURCE_STORAGE, os.environ, faults) or host_storage
    if host_storage is None:
        faults.append(
            f"{HOST_STORAGE}: missing; set a connection string, or {HOST_STORAGE}__blobServiceUri"
        )
    if faults or values is None or source is None or host_storage is None:
        raise SettingsError(faults)
    return AppSettings(values, source, host_storage)


def _storage_connection(
    name: str, environ: Mapping[str, str], faults: list[str]
) -> StorageConnection | None:
    """The connection of this name, None when it is not set. Appends to ``faults``."""
    if text := environ.get(name):
        if not re.search(r"(?i)(AccountKey|SharedAccessSignature)=.", text):
            faults.append(f"{name}: should be a connection string with AccountName and AccountKey")
        return StorageConnection(name, connection_string=text)
    uris = {service: _service_uri(name, service, environ) for service in ("blob", "table")}
    if not uris["blob"]:
        others = ("clientId", "credential", "queueServiceUri", "tableServiceUri")
        if any(environ.get(f"{name}__{part}") for part in others):
            text = f"missing, while other settings of {name} are set"
            faults.append(f"{name}__blobServiceUri: {text}")
        return None
    if name == HOST_STORAGE and not uris["table"]:
        faults.append(f"{name}__tableServiceUri: missing; the app keeps its ledger there")
    return StorageConnection(
        name,
        service_uri=uris["blob"],
        table_uri=uris["table"],
        client_id=environ.get(f"{name}__clientId") or None,
    )


def _service_uri(name: str, service: str, environ: Mapping[str, str]) -> str | None:
    """The service's own setting, or what the account's name implies, as for the Functions host."""
    account = environ.get(f"{name}__accountName")
    named = f"https://{account}.{service}.core.windows.net" if account else None
    return environ.get(f"{name}__{service}ServiceUri") or named


def is_loopback_http(url: str) -> bool:
    """Whether the URL is plain http to this machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and is_loopback(parts.hostname or "")


def is_loopback(host: str) -> bool:
    """Whether the host name or address is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
