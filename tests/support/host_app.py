"""The small app of ``tests/data/host_app``, running in the local Functions host."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests
from azure.storage.blob import ContainerClient
from durabletask.client import OrchestrationState, TaskHubGrpcClient

from infra.local.functions_host.durable.adversities import Adversities
from infra.local.functions_host.host import FunctionsHost

APP_FOLDER = Path(__file__).parents[1] / "data" / "host_app"
KEY = "the key+of=the host"
_DEADLINE_SECONDS = 90.0


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; fail after a deadline."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


@dataclass
class HostApp:
    """The running app: its host, engine and container, and the notes of its functions."""

    host: FunctionsHost
    engine: TaskHubGrpcClient
    container: ContainerClient
    notes: Path
    pids: list[int] = field(default_factory=list)

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request without a key."""
        return requests.request(method, f"{self.host.url}{path}", timeout=30, **options)

    def start(self, orchestrator: str, argument: object = None) -> str:
        """Start an orchestration over HTTP, and return its instance id."""
        answer = self.call(
            "POST",
            f"/api/start/{orchestrator}",
            json=argument,
            headers={"x-functions-key": KEY},
        )
        assert answer.status_code == 200, answer.text
        return answer.text

    def end_of(self, instance_id: str) -> OrchestrationState:
        """Wait for the end of an orchestration, and return its state."""
        state = self.engine.wait_for_orchestration_completion(
            instance_id, timeout=int(_DEADLINE_SECONDS)
        )
        assert state is not None
        return state

    def noted(self, name: str) -> list[str]:
        """The lines that functions wrote to the notes of this name."""
        path = self.notes / name
        return path.read_text("utf-8").splitlines() if path.exists() else []


@contextmanager
def running_host_app(
    connection_string: str, notes: Path, adversities: Adversities | None = None
) -> Iterator[HostApp]:
    """Start the app, with one blob that existed before."""
    name = f"watched-{uuid4().hex[:12]}"
    settings = {"NOTES": str(notes), "WATCHED": name, "Storage": connection_string}
    pids: list[int] = []
    host = FunctionsHost(
        APP_FOLDER,
        settings,
        function_key=KEY,
        on_worker_started=pids.append,
        adversities=adversities,
    )
    with ContainerClient.from_connection_string(connection_string, name) as container:
        container.create_container()
        container.upload_blob("in/early", b"first")
        host.start()
        engine = TaskHubGrpcClient(host_address=host.durable_address)
        try:
            yield HostApp(host, engine, container, notes, pids)
        finally:
            engine.close()
            host.stop()
