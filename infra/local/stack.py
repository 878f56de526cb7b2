"""The local stack: Azurite, Outlook's stand-in and the Functions host, with settings to match."""

import os
import secrets
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import requests
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient, CorsRule
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from infra.local.azurite import Azurite
from infra.local.errors import LocalError
from infra.local.functions_host.errors import HostError
from infra.local.functions_host.host import FunctionsHost
from infra.local.functions_host.worker.process import STDERR
from infra.local.outlook import OutlookEmulator, Rules
from shared.settings import is_loopback_http

APP_FOLDER = Path(__file__).parents[2]
STACK_FILE = APP_FOLDER / ".local" / "stack.json"

# For everything that host.json lets run at once.
THREADS = "32"
# Mailboxes of the stand-in, each with one draft and one event to drop files on.
MAILBOXES = ("reports@contoso.com", "scans@contoso.com")


NOT_RUNNING = "The local stack does not run. Start it first: make start"


class StackInfo(BaseModel):
    """What other programs need to use a running stack: ``.local/stack.json``."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    functions_url: str
    function_key: str
    blob_connection_string: str
    container: str
    graph_url: str
    worker_pid: int
    durable_address: str

    @classmethod
    def read(cls, file: Path) -> Self:
        """What the file tells.

        Raises :class:`LocalError` when there is none.
        """
        try:
            return cls.model_validate_json(file.read_text())
        except FileNotFoundError:
            raise LocalError(NOT_RUNNING) from None

    def write(self, file: Path) -> None:
        """Tell other programs; readable by its owner alone, since it holds keys."""
        file.parent.mkdir(exist_ok=True)
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)
        file.write_text(self.model_dump_json(by_alias=True, indent=2))

    def check_alive(self) -> None:
        """Raise :class:`LocalError` when the stack is gone, and left its file behind."""
        try:
            requests.get(self.functions_url, timeout=5)
        except requests.RequestException:
            raise LocalError(NOT_RUNNING) from None


class Stack:
    """The whole app on this machine, between ``with`` and its end.

    ``graph_url`` is another Graph root in place of the stand-in's. ``settings`` are app settings
    of the caller's; those of the environment win over them, as over the stack's own. ``log`` is
    the file descriptor that the app's log goes to. ``told_in`` is the file that tells other
    programs how to use it, while it runs. ``access_log`` is a file that gets a line per request
    to storage.
    """

    def __init__(
        self,
        *,
        graph_url: str | None = None,
        port: int = 0,
        settings: dict[str, str] | None = None,
        log: int = STDERR,
        told_in: Path | None = None,
        access_log: Path | None = None,
    ) -> None:
        self._graph_url = graph_url
        self._port = port
        self._settings = settings or {}
        self._log = log
        self._told_in = told_in
        self._running = ExitStack()
        self._azurite = Azurite(access_log)
        self._key = secrets.token_urlsafe(32)
        self._host: FunctionsHost
        self.outlook = OutlookEmulator(_service_rules())
        self.items: dict[str, tuple[str, str]] = {}

    def __enter__(self) -> Self:
        """Start everything, and tell other programs if asked to.

        Raises :class:`LocalError` with what to do when a part cannot start.
        """
        with ExitStack() as starting:
            starting.enter_context(self._azurite)
            starting.enter_context(self.outlook)
            if self._graph_url is None:
                self._furnish()
            self._host = FunctionsHost(
                APP_FOLDER,
                self._app_settings(),
                port=self._port,
                function_key=self._key,
                on_worker_started=self._tell,
                worker_log=self._log,
            )
            self._create_containers()
            starting.callback(self._untell)
            try:
                starting.enter_context(self._host)
            except HostError as error:
                raise LocalError(str(error)) from error
            self._let_the_page_upload()
            self._running = starting.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running.close()

    @property
    def info(self) -> StackInfo:
        """How to use it."""
        return self._info(self._host.worker_pid)

    def _tell(self, worker_pid: int) -> None:
        if self._told_in is not None:
            self._info(worker_pid).write(self._told_in)

    def _untell(self) -> None:
        """Another stack may have told about itself in the same file: that one stays."""
        if self._told_in is None or not self._told_in.exists():
            return
        if StackInfo.read(self._told_in).function_key == self._key:
            self._told_in.unlink()

    def _info(self, worker_pid: int) -> StackInfo:
        settings = self._app_settings()
        return StackInfo(
            functions_url=self._host.url,
            function_key=self._key,
            blob_connection_string=self._azurite.connection_string,
            container=settings["SOURCE_CONTAINER"],
            graph_url=settings["GRAPH_BASE_URL"],
            worker_pid=worker_pid,
            durable_address=self._host.durable_address,
        )

    def _create_containers(self) -> None:
        """As infrastructure does in Azure: who is told that the stack is ready can use them."""
        settings = self._app_settings()
        service = BlobServiceClient.from_connection_string(self._azurite.connection_string)
        with service:
            for setting in ("SOURCE_CONTAINER", "SESSION_CONTAINER"):
                try:
                    service.create_container(settings[setting])
                except HttpResponseError as error:
                    raise LocalError(
                        f"{setting} is no name for a container: {settings[setting]}"
                    ) from error

    def _let_the_page_upload(self) -> None:
        """As infrastructure does in Azure: pages of the host may put blobs in, and no others."""
        origins = [self._host.url, self._host.url.replace("127.0.0.1", "localhost")]
        rule = CorsRule(
            origins,
            ["PUT"],
            allowed_headers=["content-type", "x-ms-*"],
            exposed_headers=["x-ms-error-code"],
            max_age_in_seconds=3_600,
        )
        with BlobServiceClient.from_connection_string(self._azurite.connection_string) as service:
            service.set_service_properties(cors=[rule])

    def _furnish(self) -> None:
        for mailbox in MAILBOXES:
            self.outlook.add_mailbox(mailbox)
            self.items[mailbox] = (
                self.outlook.add_item(mailbox, "message"),
                self.outlook.add_item(mailbox, "event"),
            )

    def _app_settings(self) -> dict[str, str]:
        graph = self._graph_url or self.outlook.url
        own = {
            "AzureWebJobsStorage": self._azurite.connection_string,
            "SOURCE_CONTAINER": "outlook-attachments",
            "SESSION_CONTAINER": "upload-sessions",
            "GRAPH_BASE_URL": graph,
            "TASKHUB_NAME": "local",
            "PYTHON_THREADPOOL_THREAD_COUNT": THREADS,
            "MALLOC_MMAP_THRESHOLD_": "1048576",
        }
        if is_loopback_http(graph):
            # Nobody's real mail is behind a stand-in. Elsewhere every mailbox must be named.
            own["ALLOWED_MAILBOXES"] = "*"
        if not os.environ.get("IDENTITY_ENDPOINT"):
            own["IDENTITY_ENDPOINT"] = self.outlook.identity_endpoint
            own["IDENTITY_HEADER"] = self.outlook.identity_header
        own |= self._settings
        return own | {name: value for name in own if (value := os.environ.get(name))}


def _service_rules() -> Rules:
    """The stand-in's limits; a budget of the app that was lifted lifts the service's, too."""
    budget = os.environ.get("MAILBOX_WINDOW_BYTES", "")
    usual = Rules().window_bytes
    return Rules(window_bytes=max(usual, int(budget)) if budget.isdecimal() else usual)
