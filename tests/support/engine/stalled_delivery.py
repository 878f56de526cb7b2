"""Deliveries of activities that stop between two of their operations, for a while or for good.

An operation is a request to a table, a blob or Outlook. The stand-ins of ``support.in_memory`` mark
theirs with :func:`operation`.
"""

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

_current = threading.local()


class WorkerKilled(BaseException):
    """Ends a delivery whose worker is killed: nothing of the product may catch it."""


def operation[**Given, Result](method: Callable[Given, Result]) -> Callable[Given, Result]:
    """Mark a method after which a delivery can stop."""

    @wraps(method)
    def marked(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        delivery: Delivery | None = getattr(_current, "delivery", None)
        if delivery is None:
            return method(*args, **kwargs)
        delivery._check_alive()
        try:
            return method(*args, **kwargs)
        finally:
            delivery._operation_done()

    return marked


class Delivery:
    """One delivery in a thread of its own, which runs only while :meth:`proceed` waits for it.

    It stops once, after ``stop_after`` operations: there it is killed, or stalls until the next
    :meth:`proceed`. Whatever a killed one still tries has no effect.
    """

    def __init__(
        self, run: Callable[[], dict[str, Any]], *, stop_after: int, killed: bool = False
    ) -> None:
        self.result: dict[str, Any] | None = None
        self.error: Exception | None = None
        self.is_over = False
        self._run = run
        self._stop_after = stop_after
        self._killed = killed
        self._operations = 0
        self._is_dead = False
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._broken: BaseException | None = None

    @property
    def was_killed(self) -> bool:
        """Whether it ended without a result because its worker was killed."""
        return self._is_dead

    def proceed(self) -> bool:
        """Run until it stalls or ends; whether it has ended."""
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._go.release()
        self._stopped.acquire()
        if self.is_over:
            self._thread.join()
        if self._broken is not None:
            raise self._broken
        return self.is_over

    def run_here(self) -> None:
        """Run it in this thread to its end; it cannot stop."""
        try:
            self.result = self._run()
        except Exception as error:  # noqa: BLE001 (the engine reports any error to the orchestrator)
            self.error = error
        self.is_over = True

    def kill(self) -> None:
        """Kill the worker of a delivery that stalls."""
        self._is_dead = True
        self.proceed()

    def _work(self) -> None:
        _current.delivery = self
        try:
            self.result = self._run()
        except WorkerKilled:
            pass
        except Exception as error:  # noqa: BLE001 (the engine reports any error to the orchestrator)
            self.error = error
        except BaseException as error:  # noqa: BLE001 (raised in the thread that waits for it)
            self._broken = error
        finally:
            self.is_over = True
            self._stopped.release()

    def _check_alive(self) -> None:
        if self._is_dead:
            raise WorkerKilled

    def _operation_done(self) -> None:
        self._check_alive()
        self._operations += 1
        if self._operations == self._stop_after:
            self._is_dead = self._killed
            if not self._is_dead:
                self._stopped.release()
                self._go.acquire()
            self._check_alive()
