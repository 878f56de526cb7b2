"""The local stack: Azurite, the Outlook emulator and the Functions host, with app settings."""

import json
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.storage.blob import BlobServiceClient, CorsRule
from durabletask.internal import orchestrator_service_pb2 as pb

from infra.local.azurite import Azurite
from infra.local.data_folder import DataFolder, Identity, locked
from infra.local.errors import LocalError, StackStateError, UsageError
from infra.local.functions_host.durable.adversities import Adversities
from infra.local.functions_host.errors import HostError, JournalError, PortError
from infra.local.functions_host.host import FunctionsHost
from infra.local.functions_host.worker.process import STDERR
from infra.local.outlook import ItemKind, OutlookEmulator, Rules, UnreadableFolder
from infra.local.stack_info import StackInfo
from shared.errors import SettingsError
from shared.settings import is_loopback_http, read_app_settings
from shared.transfer.payloads import TransferRequest

APP_FOLDER = Path(__file__).parents[2]
STACK_FILE = APP_FOLDER / ".local" / "stack.json"
DATA_FOLDER = APP_FOLDER / ".local" / "data"

# Enough for everything that host.json allows to run concurrently.
THREADS = "32"
# Mailboxes of the emulator, each with one draft and one event to drop files for.
MAILBOXES = ("reports@contoso.com", "scans@contoso.com")


class Stack:
    """The whole app on this machine, running inside ``with``.

    ``graph_url`` is the root of another Graph than the emulator. ``settings`` are app settings that
    override those of the stack; the environment overrides both. ``log`` is the file descriptor of
    the app's log. ``info_file`` is where :class:`StackInfo` is written while the stack runs.
    One stack at a time has this file, and it alone removes it. ``data`` is a folder in which blobs,
    tables, mailboxes and the transfers under way last; without one, they end with the stack.
    ``access_log`` is a file that gets one line per request to storage. ``adversities`` are what the
    engine does to the app.
    """

    def __init__(
        self,
        *,
        graph_url: str | None = None,
        port: int = 0,
        settings: dict[str, str] | None = None,
        log: int = STDERR,
        info_file: Path | None = None,
        data: Path | None = None,
        access_log: Path | None = None,
        adversities: Adversities | None = None,
    ) -> None:
        self._graph_url = graph_url
        self._port = port
        self._settings = settings or {}
        self._log = log
        self._info_file = info_file
        self._adversities = adversities
        self._running = ExitStack()
        self._data = DataFolder(data) if data else None
        self._azurite = Azurite(access_log, self._data.azurite if self._data else None)
        self._key = ""
        self._host: FunctionsHost
        self.outlook = OutlookEmulator(_service_rules())
        self.items: dict[str, tuple[str, str]] = {}

    def __enter__(self) -> Self:
        """Start every part.

        Raises :class:`UsageError` when an app setting, the port or a folder has to be changed,
        :class:`StackStateError` when another stack has the file or the folder, :class:`LocalError`
        when a part cannot start, and :class:`OSError` when a folder cannot be written.
        """
        _check(self._app_settings())
        with ExitStack() as starting:
            self._lock(starting)
            identity = self._data.read_identity() if self._data else Identity()
            self._key = identity.function_key
            starting.enter_context(self._azurite)
            self._start_outlook(starting, identity.graph_port)
            if self._data:
                port = urlsplit(self.outlook.url).port or 0
                self._data.write_identity(identity.model_copy(update={"graph_port": port}))
            if self._graph_url is None:
                self._create_items()
            self._host = FunctionsHost(
                APP_FOLDER,
                self._app_settings(),
                port=self._port,
                function_key=self._key,
                on_worker_started=self._write_info,
                worker_log=self._log,
                journal=self._data.journal if self._data else None,
                adversities=self._adversities,
            )
            self._create_containers()
            starting.callback(self._remove_info)
            try:
                starting.enter_context(self._host)
            except (PortError, JournalError) as error:
                raise UsageError(str(error)) from error
            except HostError as error:
                raise LocalError(str(error)) from error
            self._allow_uploads_from_the_page()
            self._running = starting.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running.close()

    def _lock(self, starting: ExitStack) -> None:
        """Take the stack file and the data folder, or raise :class:`StackStateError`."""
        if self._info_file is not None:
            lock = self._info_file.with_name(f"{self._info_file.name}.lock")
            starting.enter_context(locked(lock, StackInfo.runs_already(self._info_file)))
        if self._data is not None:
            starting.enter_context(self._data.in_use())

    def _start_outlook(self, starting: ExitStack, port: int) -> None:
        """Start the emulator, on the port of the last start if that is free."""
        rules, folder = _service_rules(), self._data.outlook if self._data else None
        try:
            self.outlook = OutlookEmulator(rules, port=port, folder=folder)
        except UnreadableFolder as error:
            raise UsageError(str(error)) from error
        try:
            starting.enter_context(self.outlook)
        except OSError:
            self.outlook = OutlookEmulator(rules, folder=folder)
            starting.enter_context(self.outlook)

    @property
    def started_again(self) -> list[str]:
        """What was under way when the last stack with these data ended, and starts again now."""
        return [_description(each) for each in self._host.started_again]

    def under_way(self) -> list[str]:
        """What is under way now."""
        return [_description(each) for each in self._host.under_way()]

    @property
    def info(self) -> StackInfo:
        """How other programs can use the stack."""
        return self._info(self._host.worker_pid)

    def _write_info(self, worker_pid: int) -> None:
        if self._info_file is not None:
            self._info(worker_pid).write(self._info_file)

    def _remove_info(self) -> None:
        """Remove the file, unless another stack has written it meanwhile."""
        if self._info_file is None:
            return
        with suppress(StackStateError):
            if StackInfo.read(self._info_file).pid == os.getpid():
                self._info_file.unlink()

    def _info(self, worker_pid: int) -> StackInfo:
        settings = self._app_settings()
        return StackInfo(
            functions_url=self._host.url,
            function_key=self._key,
            blob_connection_string=self._azurite.connection_string,
            container=settings["SOURCE_CONTAINER"],
            graph_url=settings["GRAPH_BASE_URL"],
            items=tuple(
                f"{mailbox}/{item}"
                for mailbox, (message, event) in self.items.items()
                for item in (f"messages/{message}", f"events/{event}")
            ),
            pid=os.getpid(),
            worker_pid=worker_pid,
            durable_address=self._host.durable_address,
        )

    def _create_containers(self) -> None:
        """Create the containers, as the infrastructure does in Azure, before the app starts."""
        settings = self._app_settings()
        service = BlobServiceClient.from_connection_string(self._azurite.connection_string)
        with service:
            for setting in ("SOURCE_CONTAINER", "SESSION_CONTAINER"):
                try:
                    service.create_container(settings[setting])
                except ResourceExistsError:
                    continue
                except HttpResponseError as error:
                    raise UsageError(
                        f"{setting} is not a valid container name: {settings[setting]}"
                    ) from error

    def _allow_uploads_from_the_page(self) -> None:
        """Allow only the host's own pages to upload blobs, as the infrastructure does in Azure."""
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

    def _create_items(self) -> None:
        for mailbox in MAILBOXES:
            if mailbox not in self.outlook.mailboxes():
                self.outlook.add_mailbox(mailbox)
            self.items[mailbox] = (self._item(mailbox, "message"), self._item(mailbox, "event"))

    def _item(self, mailbox: str, kind: ItemKind) -> str:
        """The mailbox's first item of this kind."""
        found = self.outlook.items(mailbox, kind)
        return found[0] if found else self.outlook.add_item(mailbox, kind)

    def _app_settings(self) -> dict[str, str]:
        graph = self._graph_url or self.outlook.url
        defaults = {
            "AzureWebJobsStorage": self._azurite.connection_string,
            "SOURCE_CONTAINER": "outlook-attachments",
            "SESSION_CONTAINER": "upload-sessions",
            "GRAPH_BASE_URL": graph,
            "TASKHUB_NAME": "local",
            "PYTHON_THREADPOOL_THREAD_COUNT": THREADS,
            # The C library returns freed buffers of this size to the system, as in Azure.
            "MALLOC_MMAP_THRESHOLD_": "1048576",
        }
        if is_loopback_http(graph):
            # No real mailbox is behind a loopback address. For any other Graph they must be listed.
            defaults["ALLOWED_MAILBOXES"] = "*"
        if not os.environ.get("IDENTITY_ENDPOINT"):
            defaults["IDENTITY_ENDPOINT"] = self.outlook.identity_endpoint
            defaults["IDENTITY_HEADER"] = self.outlook.identity_header
        settings = defaults | self._settings
        return settings | {name: value for name in settings if (value := os.environ.get(name))}


def _description(started: pb.CreateInstanceRequest) -> str:
    """The blob of a transfer; the id of another orchestration."""
    try:
        return TransferRequest.from_json(json.loads(started.input.value)).blob
    except ValueError:
        return f"{started.name} {started.instanceId}"


def _check(settings: dict[str, str]) -> None:
    """Check what the app will read, before anything is started.

    Raises :class:`UsageError` with all that is wrong.
    """
    kept = dict(os.environ)
    os.environ.update(settings)
    try:
        read_app_settings()
    except SettingsError as error:
        raise UsageError(f"Change these app settings: {'; '.join(error.faults)}.") from None
    finally:
        os.environ.clear()
        os.environ.update(kept)


def _service_rules() -> Rules:
    """The emulator's rules; a larger budget of the app raises the limit of the service too."""
    budget = os.environ.get("MAILBOX_WINDOW_BYTES", "")
    default = Rules().window_bytes
    return Rules(window_bytes=max(default, int(budget)) if budget.isdecimal() else default)
