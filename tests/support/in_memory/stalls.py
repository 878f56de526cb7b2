"""A delivery that stalls before one of its operations on tables, blobs or Outlook."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from tests.support.in_memory.outlook import DirectAdapter
from tests.support.in_memory.storage import MemoryContainer
from tests.support.in_memory.tables import MemoryTable

_OPERATIONS: tuple[tuple[type, str], ...] = (
    (MemoryTable, "get_entity"),
    (MemoryTable, "create_entity"),
    (MemoryTable, "update_entity"),
    (MemoryContainer, "blob"),
    (MemoryContainer, "set_metadata"),
    (DirectAdapter, "send"),
)


class Stall:
    """While it is entered, the operation of this number, from 0 on, waits for ``meanwhile``.

    Operations that ``meanwhile`` does are not counted. ``stalled`` says which operation it was.
    """

    def __init__(self, number: int, meanwhile: Callable[[], object]) -> None:
        self._number = number
        self._meanwhile = meanwhile
        self._seen = 0
        self._thread = threading.get_ident()
        self._broken: BaseException | None = None
        self._originals: list[tuple[type, str, Any]] = []
        self.stalled = ""

    def __enter__(self) -> "Stall":
        for kind, name in _OPERATIONS:
            original = vars(kind)[name]
            self._originals.append((kind, name, original))
            setattr(kind, name, self._stalling(name, original))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for owner, name, original in self._originals:
            setattr(owner, name, original)
        if self._broken is not None:
            raise self._broken

    def _run_meanwhile(self) -> None:
        try:
            self._meanwhile()
        except BaseException as error:
            # The delivery could take it for an error of its operation.
            self._broken = error
            raise

    def _stalling(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*args: Any, **options: Any) -> Any:
            # Content is read ahead in another thread.
            if not self.stalled and threading.get_ident() == self._thread:
                if self._seen == self._number:
                    request = args[1] if name == "send" else None
                    self.stalled = f"{request.method} {request.url}" if request else name
                    self._run_meanwhile()
                self._seen += 1
            return original(*args, **options)

        return operation
