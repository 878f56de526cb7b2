"""The Outlook emulator in a process of its own, so that its CPU time is not the client's."""

import os
from collections import Counter
from datetime import datetime
from multiprocessing import get_context
from multiprocessing.managers import BaseManager
from types import TracebackType
from typing import Any, Self

from infra.local.outlook import OutlookEmulator, Rules
from tests.benchmarks.measurement import Measure

MAILBOX = "reports@contoso.com"
# More than any benchmark sends.
_NO_WINDOW = 10**12


class OutlookProcess:
    """A running emulator without a limit of bytes per window; a context manager.

    Its identity endpoint is the managed identity of this process and of the stacks that it starts.
    """

    def __enter__(self) -> Self:
        self._process = _Process(ctx=get_context("spawn"))
        self._process.start()
        self._served: Any = getattr(self._process, _Served.__name__)()
        os.environ.update(self.identity)
        self.add_mailbox(MAILBOX)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name in self.identity:
            del os.environ[name]
        self._process.shutdown()

    @property
    def url(self) -> str:
        """The Graph root."""
        return str(self._served.url())

    @property
    def identity(self) -> dict[str, str]:
        """The environment variables of its managed identity."""
        endpoint, header = self._served.identity()
        return {"IDENTITY_ENDPOINT": endpoint, "IDENTITY_HEADER": header}

    def behave(self, *, range_seconds: float = 0, bytes_per_second: float = float("inf")) -> None:
        """Set the time to answer a range after its last byte, and the rate of its bytes."""
        self._served.behave(range_seconds, bytes_per_second)

    def with_latency(self, seconds: float, rate: float, work: Measure) -> Measure:
        """The measure, with this time to answer each range, and this rate of its bytes."""

        def measured() -> float:
            self.behave(range_seconds=seconds, bytes_per_second=rate)
            return work()

        return measured

    def add_mailbox(self, address: str) -> None:
        """A new mailbox."""
        self._served.add_mailbox(address)

    def add_item(self, mailbox: str = MAILBOX) -> str:
        """A new draft; its id."""
        return str(self._served.add_item(mailbox))

    def remove_item(self, item: str, mailbox: str = MAILBOX) -> list[str]:
        """Delete the item; the SHA-256 of each of its attachments."""
        return list(self._served.remove_item(mailbox, item))

    def uploads_at_once(self) -> int:
        """The most uploads at once, from first range to last, since the last call of requests."""
        return int(self._served.uploads_at_once())

    def requests(self) -> Counter[str]:
        """Requests since the last call, by kind; the refused ones as ``refused``."""
        return Counter(self._served.requests())


class _Served:
    """The emulator in the other process."""

    def __init__(self) -> None:
        self._emulator = OutlookEmulator(Rules(window_bytes=_NO_WINDOW)).start()

    def url(self) -> str:
        return self._emulator.url

    def identity(self) -> tuple[str, str]:
        return self._emulator.identity_endpoint, self._emulator.identity_header

    def behave(self, range_seconds: float, bytes_per_second: float) -> None:
        self._emulator.rules = Rules(
            window_bytes=_NO_WINDOW,
            range_seconds=range_seconds,
            bytes_per_second=bytes_per_second,
        )

    def add_mailbox(self, address: str) -> None:
        self._emulator.add_mailbox(address)

    def add_item(self, mailbox: str) -> str:
        return self._emulator.add_item(mailbox, "message")

    def remove_item(self, mailbox: str, item: str) -> list[str]:
        digests = [each.sha256 for each in self._emulator.attachments(mailbox, item)]
        self._emulator.remove_item(mailbox, item)
        return digests

    def uploads_at_once(self) -> int:
        times: dict[str, list[datetime]] = {}
        for each in self._emulator.requests:
            if each.range is not None:
                times.setdefault(str(each.item), []).append(each.at)
        return max(
            sum(min(other) <= min(own) <= max(other) for other in times.values())
            for own in times.values()
        )

    def requests(self) -> dict[str, int]:
        seen = Counter[str](each.kind for each in self._emulator.requests)
        seen["refused"] = sum(each.status == 429 for each in self._emulator.requests)
        self._emulator.clear()
        return dict(seen)


class _Process(BaseManager):
    """The other process."""


_Process.register(_Served.__name__, _Served)
