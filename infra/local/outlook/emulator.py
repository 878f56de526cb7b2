"""The emulator as a test or the local stack holds it: a server in a thread, and the referee."""

import asyncio
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime
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
from infra.local.outlook.state.mailboxes import Attachment, Committer
from infra.local.outlook.state.upload_session import FileDescription, UploadSession
from infra.local.outlook.tenant import Tenant

HOST = "127.0.0.1"
_READ_BUFFER_BYTES = 2**20
# Seconds; what hangs has been woken by then, what still writes is cut off.
_SHUTDOWN_SECONDS = 1.0


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


class OutlookEmulator:
    """Microsoft Graph, Outlook and the managed-identity endpoint on a loopback port.

    It serves between `start` and `stop` (or inside `with`), in a thread of its own; started again
    it has the same port and state. `port` 0 takes a free one. `clock` tells the time to tokens,
    sessions, throttling, late commits and `Date`; hanging connections and slow ranges alone are
    timed by the wall clock. Its own ids are always of the immutable form. `random_faults` is asked
    when `faults` has nothing for a request.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        *,
        port: int = 0,
        clock: Callable[[], datetime] = utc_now,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._tenant = Tenant(clock, rules or Rules())
        self._service = Service(self._tenant)
        self._port = port
        self._tls = tls
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], object] = lambda: None

    def start(self) -> Self:
        """Serve. Returns once requests are answered; raises `OSError` when the port is taken."""
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
        """End every connection and free the port; the state stays."""
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
        # A client that goes away ends its handler: it then no longer counts as in progress.
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
            # A TLS connection would take its time to say goodbye, longer than the loop lives.
            for transport in transports:
                transport.abort()
            await asyncio.sleep(0)

    @property
    def url(self) -> str:
        """The Graph root, `http://127.0.0.1:PORT`; empty before the first start."""
        return self._tenant.url

    @property
    def identity_endpoint(self) -> str:
        """What `IDENTITY_ENDPOINT` is to be."""
        return self.url + IDENTITY_PATH

    @property
    def identity_header(self) -> str:
        """What `IDENTITY_HEADER` is to be: a secret."""
        return self._tenant.identity.header

    @property
    def rules(self) -> Rules:
        """How the service behaves; may be replaced at any time."""
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
        """Faults beside the scheduled ones."""
        return self._service.random_faults

    @random_faults.setter
    def random_faults(self, source: FaultSource | None) -> None:
        self._service.random_faults = source

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every request so far, in order of arrival."""
        with self._service.lock:
            return list(self._service.recorder.requests)

    def add_mailbox(self, address: str) -> None:
        """A new empty mailbox."""
        with self._service.lock:
            self._tenant.mailboxes.add(address)

    def add_item(
        self,
        mailbox: str,
        kind: ItemKind,
        *,
        old_form: bool = False,
        item_id: str | None = None,
    ) -> str:
        """A new draft or event; the answer is its id, of the old form with `+` and `/` in it.

        `item_id` gives it an immutable id of the caller's own.
        """
        with self._service.lock:
            found = self._tenant.mailboxes.find(mailbox)
            return found.create(kind, "", old_form=old_form, item_id=item_id).id

    def remove_item(self, mailbox: str, item_id: str) -> None:
        """Delete an item with all it holds, as its owner does."""
        with self._service.lock:
            del self._tenant.mailboxes.find(mailbox).items[canonical(item_id)]

    def attach(self, mailbox: str, item_id: str, name: str, content: bytes) -> Attachment:
        """Attach a file past every request, as another writer does; it shows at once."""
        with self._service.lock:
            item = self._tenant.mailboxes.find(mailbox).items[canonical(item_id)]
            committer = Committer(self._tenant.clock, visible_after=0)
            return committer.commit_bytes(item, FileDescription(name=name), content)

    def attachments(self, mailbox: str, item_id: str) -> list[Attachment]:
        """What the item really holds, late commits included, oldest first."""
        with self._service.lock:
            item = self._tenant.mailboxes.find(mailbox).items[canonical(item_id)]
            return list(item.attachments)

    def sessions(self) -> list[UploadSession]:
        """Every upload session there ever was; those of one item oldest first."""
        with self._service.lock:
            return list(self._tenant.mailboxes.sessions())

    def open_sessions(self) -> list[UploadSession]:
        """The upload sessions that are not finished, cancelled or expired."""
        now = self._tenant.clock()
        with self._service.lock:
            return [each for each in self._tenant.mailboxes.sessions() if each.is_open(now)]

    def secrets(self) -> list[str]:
        """Every secret it ever gave away: the identity header, tokens, upload URLs' tokens."""
        with self._service.lock:
            return [
                self.identity_header,
                *self._tenant.identity.tokens,
                *(each.authtoken for each in self._tenant.mailboxes.sessions()),
            ]

    def renew(self, rules: Rules | None = None) -> None:
        """Forget everything, mailboxes and tokens too, and go on as new on the same port."""
        with self._service.lock:
            self._tenant.renew(rules or Rules())
            self.clear()

    def clear(self) -> None:
        """Forget requests and faults, and count from nothing again; mailboxes and tokens stay."""
        with self._service.lock:
            self._service.recorder.clear()
            self._service.faults.clear()
            self._service.random_faults = None
