"""Azurite, the local storage account, as a process that ends with its parent."""

import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.local.errors import LocalError
from infra.local.node import find_node

_MAIN = Path(__file__).parent / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
_GUARD = Path(__file__).parent / "exit_with_owner.cjs"
_ACCOUNT = "devstoreaccount1"
# Not a secret: the documented key that every Azurite accepts.
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_START_SECONDS = 60.0
_STOP_SECONDS = 5.0


class Azurite:
    """Azurite's blob and table services on free loopback ports, in a temporary or a given folder.

    ``access_log`` is a file that gets one line per request. ``folder`` keeps the data.
    """

    def __init__(self, access_log: Path | None = None, folder: Path | None = None) -> None:
        self._access_log = access_log
        self._folder = folder
        self._running = ExitStack()
        self.port = 0
        self.table_port = 0

    @property
    def connection_string(self) -> str:
        """The connection string for storage clients."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};"
            f"BlobEndpoint=http://127.0.0.1:{self.port}/{_ACCOUNT};"
            f"TableEndpoint=http://127.0.0.1:{self.table_port}/{_ACCOUNT};"
        )

    def __enter__(self) -> Self:
        """Start, and wait until it listens.

        Raises :class:`LocalError` when it is not installed or does not start.
        """
        if not _MAIN.exists():
            raise LocalError("Azurite is not installed. Run: make install")
        with ExitStack() as starting:
            folder = str(self._folder) if self._folder else ""
            folder = folder or starting.enter_context(
                tempfile.TemporaryDirectory(prefix="azurite-")
            )
            ports = _free_ports()
            self.port, _, self.table_port = ports
            output = None
            if self._access_log is not None:
                output = starting.enter_context(self._access_log.open("wb")).fileno()
            process = _start(ports, folder, output)
            starting.callback(_stop, process)
            self._wait_until_listening(process)
            self._running = starting.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running.close()

    def _wait_until_listening(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            if all(map(_is_listening, (self.port, self.table_port))):
                return
            time.sleep(0.05)
        raise LocalError(
            f"Azurite does not listen on port {self.port} (exit status {process.poll()}). "
            "Run: make install"
        )


def _start(
    ports: tuple[int, int, int], folder: str, access_log: int | None
) -> subprocess.Popen[bytes]:
    blob, queue, table = ports
    options = ["--blobPort", str(blob), "--tablePort", str(table), "--location", folder]
    # Azurite cannot start without its queues, which nothing here uses.
    options += ["--queuePort", str(queue)]
    # The storage SDK may use a newer version of the protocol than Azurite supports officially.
    options += ["--disableTelemetry", "--skipApiVersionCheck"]
    if access_log is None:
        options.append("--silent")
    return subprocess.Popen(  # noqa: S603 (nothing in it comes from outside)
        [str(find_node()), "--require", str(_GUARD), str(_MAIN), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL if access_log is None else access_log,
        stderr=subprocess.DEVNULL,
        # Ctrl-C reaches only the parent, which stops Azurite itself.
        start_new_session=True,
    )


def _free_ports() -> tuple[int, int, int]:
    with socket.socket() as one, socket.socket() as two, socket.socket() as three:
        for probe in (one, two, three):
            probe.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1], three.getsockname()[1]


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        # The guard then has Azurite write its data and end.
        process.stdin.close()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
