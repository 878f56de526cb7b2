"""A proxy in front of Azurite that can hold a request, or the response to it."""

import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from types import TracebackType
from typing import Literal, Self

_CHUNK = 65_536

type Matches = Callable[[bytes], bool]
type Side = Literal["request", "answer"]


class Hold:
    """A request to be held, the first whose head matches; ``reached`` is set when it is held."""

    def __init__(self, matches: Matches, side: Side) -> None:
        self.matches = matches
        self.side = side
        self.reached = threading.Event()
        self.released = threading.Event()


class StorageProxy:
    """Forwards connections on a free loopback port to another port; a context manager.

    A connection is held until :meth:`open`, and then closed with what it held. ``accepted``
    counts the connections.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._holds: list[Hold] = []
        self._lock = threading.Lock()
        self._running = ExitStack()
        self.port = 0
        self.accepted = 0

    def __enter__(self) -> Self:
        listening = self._running.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
        self.port = listening.getsockname()[1]
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.open()
        self._running.close()

    def hold(self, matches: Matches, side: Side) -> Hold:
        """Hold the next request whose head matches, or the response to it."""
        hold = Hold(matches, side)
        with self._lock:
            self._holds.append(hold)
        return hold

    def open(self) -> None:
        """Hold nothing from now on."""
        with self._lock:
            holds, self._holds = self._holds, []
        for hold in holds:
            hold.released.set()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                self.accepted += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        # Set while responses are forwarded.
        forwarding = threading.Event()
        forwarding.set()
        target = ("127.0.0.1", self._target)
        with suppress(OSError), client, socket.create_connection(target) as server:
            back = threading.Thread(
                target=_forward_responses, args=(server, client, forwarding), daemon=True
            )
            back.start()
            while data := client.recv(_CHUNK):
                hold = self._matching(data)
                if hold is None:
                    server.sendall(data)
                    continue
                if hold.side == "answer":
                    forwarding.clear()
                    server.sendall(data)
                hold.reached.set()
                hold.released.wait()
                # The client is gone by now: what was held is not forwarded.
                return

    def _matching(self, data: bytes) -> Hold | None:
        with self._lock:
            for hold in self._holds:
                if not hold.reached.is_set() and hold.matches(data):
                    return hold
        return None


def _forward_responses(
    server: socket.socket, client: socket.socket, forwarding: threading.Event
) -> None:
    with suppress(OSError):
        while data := server.recv(_CHUNK):
            forwarding.wait()
            client.sendall(data)
        client.shutdown(socket.SHUT_WR)
