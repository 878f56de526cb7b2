"""Readiness: whether identity, container, ledger and Graph can be used now, within seconds."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

from shared.errors import StorageUnavailable
from shared.outlook.graph_client import GraphClient
from shared.storage.ledger import TABLE, Ledger
from shared.storage.source_container import ContainerTaken, SourceContainer
from shared.storage.storage_errors import StorageDenied
from shared.transfer.payloads import Payload
from shared.transfer.retry_policy import decide
from shared.transfer.retry_table import Action, Call

# Seconds.
_LIMIT = 8.0


class Check(Payload):
    """The result of one check. ``message`` says what to change when it is not ok."""

    name: str
    ok: bool
    message: str


class Readiness:
    """Checks identity, container, ledger and Graph at the same time, within ``seconds`` each.

    A check that hangs is not started again: at most one of each kind runs.
    """

    def __init__(
        self,
        source: SourceContainer,
        ledger: Ledger,
        graph: GraphClient,
        *,
        seconds: float = _LIMIT,
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._graph = graph
        self._seconds = seconds
        self._probes = {
            "identity": self._identity,
            "container": self._container,
            "ledger": self._tables,
            "graph": self._reach,
        }
        self._threads = ThreadPoolExecutor(len(self._probes), "readiness")
        self._running: dict[str, Future[Check]] = {}
        self._lock = Lock()

    def check(self) -> tuple[Check, ...]:
        """The result of every check, always in the same order. Never raises."""
        until = time.monotonic() + self._seconds
        running = [(name, self._run(name, probe)) for name, probe in self._probes.items()]
        return tuple(self._found(name, future, until) for name, future in running)

    def _run(self, name: str, probe: Callable[[], Check]) -> Future[Check]:
        with self._lock:
            running = self._running.get(name)
            if running is None or running.done():
                running = self._running[name] = self._threads.submit(probe)
            return running

    def _found(self, name: str, future: Future[Check], until: float) -> Check:
        try:
            error = future.exception(timeout=max(0.0, until - time.monotonic()))
        except TimeoutError:
            seconds = f"{self._seconds:g} seconds"
            return Check(name=name, ok=False, message=f"No response within {seconds}. Try again.")
        if error is None:
            return future.result()
        # Without the error's text, which may contain a secret.
        return Check(name=name, ok=False, message=f"The check failed ({type(error).__name__}).")

    def _identity(self) -> Check:
        ok = self._graph.has_identity()
        message = "The app's identity gives tokens for Graph."
        if not ok:
            message = (
                "The app's identity gives no token for Graph. Assign a managed identity to the "
                "app; a user-assigned one is named by the app setting GRAPH_CLIENT_ID."
            )
        return Check(name="identity", ok=ok, message=message)

    def _container(self) -> Check:
        name = self._source.container
        try:
            exists = self._source.can_be_read(self._seconds)
            if exists:
                self._source.claim()
        except ContainerTaken as error:
            return Check(name="container", ok=False, message=error.sentence)
        except StorageUnavailable as error:
            reason = f"{error.status} {error.storage_code}" if error.status else "no response"
            message = (
                f"The container {name} cannot be read ({reason}). Check the app's role on the "
                "storage account, and its network."
            )
            return Check(name="container", ok=False, message=message)
        message = f"The container {name} can be read."
        if not exists:
            message = (
                f"There is no container {name}. Create it, or name the right one in the app "
                "setting SOURCE_CONTAINER."
            )
        return Check(name="container", ok=exists, message=message)

    def _tables(self) -> Check:
        try:
            found = self._ledger.sample(self._seconds)
        except StorageUnavailable as error:
            return Check(name="ledger", ok=False, message=_ledger_fault(error))
        message = f"The table {TABLE} can be used."
        if found is None:
            message = f"There is no table {TABLE} yet: the first transfer creates it."
        elif found.foreign and not found.own:
            message = (
                f"The table {TABLE} holds rows of another program. Delete them, or give this app "
                "a storage account of its own in AzureWebJobsStorage."
            )
            return Check(name="ledger", ok=False, message=message)
        elif found.foreign:
            message = (
                f"The table {TABLE} can be used, but {found.foreign} rows of another program were "
                "found in it. Delete them."
            )
        return Check(name="ledger", ok=True, message=message)

    def _reach(self) -> Check:
        """GET Graph's service document, which is small and needs no permission.

        Every response shows that Graph can be reached, except a refused token or an error of
        Graph's own.
        """
        response = self._graph.reach()
        action = decide(Call.REACH, response).action
        if action is Action.PROCEED:
            return Check(name="graph", ok=True, message="Graph responds.")
        if response.no_response:
            reason = response.no_response.value
            message = f"Graph did not respond ({reason}). Check the app's network."
        elif action is Action.RETRY:
            message = f"Graph is throttling or unavailable ({response.status}). Try again."
        else:
            message = "Graph refused the app's token. Check GRAPH_CLOUD and GRAPH_BASE_URL."
        return Check(name="graph", ok=False, message=message)


def _ledger_fault(error: StorageUnavailable) -> str:
    """What to change so that the ledger can be used."""
    if error.status is None:
        return (
            f"The table {TABLE} cannot be reached (no response). Check the app setting "
            "AzureWebJobsStorage__tableServiceUri, the app's identity and its network."
        )
    reason = f"{error.status} {error.storage_code}"
    if isinstance(error, StorageDenied):
        return (
            f"The app may not use the table {TABLE} ({reason}). Give its identity the role "
            "Storage Table Data Contributor on the account of AzureWebJobsStorage, and check that "
            "account's network."
        )
    return f"The table {TABLE} cannot be used now ({reason}). Try again."
