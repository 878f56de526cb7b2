"""The emulator as tests and the local stack use it: a server in a thread, and its state."""

import asyncio
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from infra.local.outlook.faults.schedule import FaultSchedule, FaultSource
from infra.local.outlook.protocol.addresses import IDENTITY_PATH, ItemKind
from infra.local.outlook.protocol.ids import canonical
from infra.local.outlook.recorder import RecordedRequest
from infra.local.outlook.rules import Rules
from infra.local.outlook.server import Server
from infra.local.outlook.service import Service
from infra.local.outlook.state.folder import StateFolder
from infra.local.outlook.state.mailboxes import Attachment, Committer
from infra.local.outlook.state.upload_session import FileDescription, UploadSession
from infra.local.outlook.tenant import Tenant

HOST = "127.0.0.1"
_READ_BUFFER_BYTES = 2**20
# By then hanging connections have been released; those still writing are aborted.
_SHUTDOWN_SECONDS = 1.0


def utc_now() -> datetime:
    """The time of the wall clock."""
    return datetime.now(UTC)


class OutlookEmulator:
    """Microsoft Graph, Outlook and the managed-identity endpoint on a loopback port.

    It serves from `start` to `stop` (or inside `with`), in a thread of its own; after another
    `start` it has the same port and state. `port` 0 is any free port. `clock` is the time for
    tokens, sessions, throttling, late commits and `Date`; only hanging connections and slow ranges
    use the wall clock. `folder` keeps mailboxes, items and attachments for the next emulator. Ids
    that it returns are in their immutable form. `random_faults` chooses when `faults` has no fault
    for a request.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        *,
        port: int = 0,
        clock: Callable[[], datetime] = utc_now,
        tls: ssl.SSLContext | None = None,
        folder: Path | None = None,
    ) -> None:
        """Raises `UnreadableFolder` when the folder is not of this version."""
        self._tenant = Tenant(clock, rules or Rules())
        self._service = Service(self._tenant)
        if folder is not None:
            stored = StateFolder(folder)
            self._tenant.mailboxes = stored.load()
            self._service.changed = lambda: stored.save(self._tenant.mailboxes)
        self._port = port
        self._tls = tls
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], object] = lambda: None

    def start(self) -> Self:
        """Start to serve, and wait until it does. Raises `OSError` when the port is in use."""
        ready, failure = threading.Event(), list[OSError]()

        def run() -> None:
            try:
                asyncio.run(self._run(ready))
            except OSError as error:
                failure.append(error)
                ready.set()

        self._thread = threading.Thread(target=run, name="outlook-emulator", daemon=True)
        self._thread.start()
        ready.wait()
        if failure:
            self.stop()
            raise failure[0]
        return self

    def stop(self) -> None:
        """Close every connection and the port; the state is kept."""
        if self._thread is not None:
            self._stop()
            self._thread.join()
            self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def _run(self, ready: threading.Event) -> None:
        server = Server(self._service)
        # When a client disconnects, its request is no longer in progress.
        http = web.Server(
            server.handle,
            handler_cancellation=True,
            access_log=None,
            read_bufsize=_READ_BUFFER_BYTES,
        )
        runner = web.ServerRunner(http, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, self._port, ssl_context=self._tls).start()
            self._port = runner.addresses[0][1]
            self._tenant.url = f"{'https' if self._tls else 'http'}://{HOST}:{self._port}"
            loop = asyncio.get_running_loop()
            self._stop = lambda: loop.call_soon_threadsafe(server.stopping.set)
            ready.set()
            await server.stopping.wait()
        finally:
            self._stop = lambda: None
            transports = [each.transport for each in http.connections if each.transport]
            await runner.cleanup()
            # The closing handshake of TLS would take longer than the loop runs.
            for transport in transports:
                transport.abort()
            await asyncio.sleep(0)

    @property
    def url(self) -> str:
        """The Graph root, `http://127.0.0.1:PORT`; empty before the first start."""
        return self._tenant.url

    @property
    def identity_endpoint(self) -> str:
        """The value for `IDENTITY_ENDPOINT`."""
        return self.url + IDENTITY_PATH

    @property
    def identity_header(self) -> str:
        """The value for `IDENTITY_HEADER`, a secret."""
        return self._tenant.identity.header

    @property
    def rules(self) -> Rules:
        """The behaviour of the service; can be replaced at any time."""
        return self._tenant.rules

    @rules.setter
    def rules(self, rules: Rules) -> None:
        with self._service.lock:
            self._tenant.rules = rules

    @property
    def faults(self) -> FaultSchedule:
        """The scheduled faults."""
        return self._service.faults

    @property
    def random_faults(self) -> FaultSource | None:
        """A source of faults in addition to the scheduled ones."""
        return self._service.random_faults

    @random_faults.setter
    def random_faults(self, source: FaultSource | None) -> None:
        self._service.random_faults = source

    @property
    def requests(self) -> list[RecordedRequest]:
        """The record of every request, in order of arrival."""
        with self._service.lock:
            return list(self._service.recorder.requests)

    def add_mailbox(self, address: str) -> None:
        """Create an empty mailbox."""
        with self._service.lock:
            self._tenant.mailboxes.add(address)
            self._service.changed()

    def mailboxes(self) -> list[str]:
        """The addresses of all mailboxes."""
        with self._service.lock:
            return [each.address for each in self._tenant.mailboxes.all()]

    def items(self, mailbox: str, kind: ItemKind | None = None) -> list[str]:
        """The ids of a mailbox's items, oldest first; of one kind if that is given."""
        with self._service.lock:
            found = self._tenant.mailboxes.find(mailbox).items.values()
            return [each.id for each in found if kind in {None, each.kind}]

    def add_item(
        self,
        mailbox: str,
        kind: ItemKind,
        *,
        old_form: bool = False,
        item_id: str | None = None,
    ) -> str:
        """Create a draft or an event, and return its id.

        With `old_form` the id contains `+` and `/`; `item_id` is an immutable id to use instead.
        """
        with self._service.lock:
            found = self._tenant.mailboxes.find(mailbox)
            created = found.create(kind, "", old_form=old_form, item_id=item_id)
            self._service.changed()
            return created.id

    def send_item(self, mailbox: str, item_id: str) -> None:
        """Send a message, as the owner of the mailbox can: it is not a draft any more."""
        with self._service.lock:
            self._tenant.mailboxes.find(mailbox).items[canonical(item_id)].is_draft = False
            self._service.changed()

    def remove_item(self, mailbox: str, item_id: str) -> None:
        """Delete an item with its attachments, as the owner of the mailbox can."""
        with self._service.lock:
            del self._tenant.mailboxes.find(mailbox).items[canonical(item_id)]
            self._service.changed()

    def attach(self, mailbox: str, item_id: str, name: str, content: bytes) -> Attachment:
        """Attach a file without a request, as another writer would; it is visible at once."""
        with self._service.lock:
            item = self._tenant.mailboxes.find(mailbox).items[canonical(item_id)]
            committer = Committer(self._tenant.clock, visible_after=0)
            attachment = committer.commit_bytes(item, FileDescription(name=name), content)
            self._service.changed()
            return attachment

    def attachments(self, mailbox: str, item_id: str) -> list[Attachment]:
        """The attachments of an item, oldest first, including those not visible yet."""
        with self._service.lock:
            item = self._tenant.mailboxes.find(mailbox).items[canonical(item_id)]
            return list(item.attachments)

    def sessions(self) -> list[UploadSession]:
        """Every upload session, ended ones included; those of an item oldest first."""
        with self._service.lock:
            return list(self._tenant.mailboxes.sessions())

    def open_sessions(self) -> list[UploadSession]:
        """The upload sessions that are not finished, cancelled or expired."""
        now = self._tenant.clock()
        with self._service.lock:
            return [each for each in self._tenant.mailboxes.sessions() if each.is_open(now)]

    def secrets(self) -> list[str]:
        """Every secret it has issued: identity header, access tokens, tokens in upload URLs."""
        with self._service.lock:
            return [
                self.identity_header,
                *self._tenant.identity.tokens,
                *(each.authtoken for each in self._tenant.mailboxes.sessions()),
            ]

    def renew(self, rules: Rules | None = None) -> None:
        """Discard the whole state, mailboxes and tokens included; the port is kept."""
        with self._service.lock:
            self._tenant.reset(rules or Rules())
            self.clear()

    def clear(self) -> None:
        """Discard the records and the faults, and restart the counts; keep mailboxes and tokens."""
        with self._service.lock:
            self._service.recorder.clear()
            self._service.faults.clear()
            self._service.random_faults = None
