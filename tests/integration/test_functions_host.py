"""How the local Functions host starts and stops."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
import requests
from durabletask.client import TaskHubGrpcClient

from infra.local.functions_host.errors import AppConfigError, AppLoadError, PortInUseError
from infra.local.functions_host.host import FunctionsHost
from tests.support.host_app import APP_FOLDER, KEY, running_host_app, wait_until

_PROJECT = Path(__file__).parents[2]
_DYING_APP = """
import os
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

@app.orchestration_trigger(context_name="context")
def go(context):
    yield context.call_activity("die", None)

@app.activity_trigger(input_name="unused")
def die(unused: str) -> None:
    os._exit(1)

@app.route(route="hello")
def hello(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("hello")
"""
_SLOW_APP = """
import os, time
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

@app.orchestration_trigger(context_name="context")
def go(context):
    yield context.task_all([context.call_activity("step", None) for _ in range(4)])
    return context.version

@app.activity_trigger(input_name="unused")
def step(unused: str) -> None:
    for word in ("in", "out"):
        with open(os.environ["STEPS"], "a") as steps:
            steps.write(word + chr(10))
        time.sleep(0.02)

@app.route()
def hello(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("hello")
"""


@pytest.mark.parametrize(
    ("app", "message"),
    [
        ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
        ("raise RuntimeError('no settings')", "RuntimeError: no settings"),
        ("import sys; sys.exit(3)", "exit code 3"),
        ("", "Could not find top level function app"),
    ],
    ids=["import", "exception", "exit", "empty"],
)
def test_app_that_cannot_be_loaded_is_an_error(tmp_path: Path, app: str, message: str) -> None:
    """The host does not start, and its error has the app's own message in one line."""
    (tmp_path / "function_app.py").write_text(app, "utf-8")

    before = psutil.Process().children()

    with pytest.raises(AppLoadError, match=message) as caught:
        FunctionsHost(tmp_path, {}, function_key=KEY).start()

    assert "\n" not in str(caught.value)
    assert psutil.Process().children() == before


def test_folder_without_an_app_is_an_error(tmp_path: Path) -> None:
    """The message names the missing file."""
    with pytest.raises(AppLoadError, match=r"function_app\.py"):
        FunctionsHost(tmp_path, {}, function_key=KEY).start()


def test_missing_setting_of_a_binding_is_named(tmp_path: Path) -> None:
    """A blob trigger without its container setting stops the start."""
    with pytest.raises(AppConfigError, match="WATCHED"):
        FunctionsHost(APP_FOLDER, {"NOTES": str(tmp_path)}, function_key=KEY).start()


def test_port_in_use_is_named() -> None:
    """The message has the port and the option to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(PortInUseError, match=f"Port {port} .*--port"):
            FunctionsHost(APP_FOLDER, {}, port=port, function_key=KEY).start()


def test_stopped_host_releases_everything(azurite: str, tmp_path: Path) -> None:
    """Worker, threads and port are gone, even with an activity in progress."""
    threads = threading.active_count()
    with running_host_app(azurite, tmp_path) as app:
        app.start("slow_work")
        wait_until(lambda: bool(app.noted("announced")))
        worker = app.host.worker_pid
        port = int(app.host.url.rpartition(":")[2])

    assert not psutil.pid_exists(worker)
    assert threading.active_count() == threads
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_unsupported_trigger_is_a_warning(
    azurite: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The rest of the app runs despite a queue trigger."""
    with running_host_app(azurite, tmp_path):
        pass

    warning = "Function message_came will never be called: this host has no queueTrigger."
    assert warning in caplog.text


def test_worker_that_always_dies_is_not_started_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After ten deaths without a completed invocation; requests then get 503."""
    (tmp_path / "function_app.py").write_text(_DYING_APP, "utf-8")
    with FunctionsHost(tmp_path, {}, function_key=KEY) as host:
        engine = TaskHubGrpcClient(host_address=host.durable_address)
        engine.schedule_new_orchestration("go")
        engine.close()
        wait_until(lambda: "it is not started again" in caplog.text)

        answer = requests.get(f"{host.url}/api/hello", timeout=30)

    assert answer.status_code == 503


def test_host_json_sets_prefix_version_and_concurrency(tmp_path: Path) -> None:
    """With one activity at a time, the second starts after the first has ended."""
    (tmp_path / "function_app.py").write_text(_SLOW_APP, "utf-8")
    durable = {
        "maxConcurrentActivityFunctions": 1,
        "maxConcurrentOrchestratorFunctions": 1,
        "defaultVersion": "7.1",
    }
    extensions = {"http": {"routePrefix": ""}, "durableTask": durable}
    (tmp_path / "host.json").write_text(json.dumps({"extensions": extensions}), "utf-8")
    steps = tmp_path / "steps"

    with FunctionsHost(tmp_path, {"STEPS": str(steps)}, function_key=KEY) as host:
        engine = TaskHubGrpcClient(host_address=host.durable_address)
        instance = engine.schedule_new_orchestration("go")
        state = engine.wait_for_orchestration_completion(instance, timeout=30)
        engine.close()
        answer = requests.get(f"{host.url}/hello", timeout=30)

    assert state is not None
    assert state.serialized_output == '"7.1"'
    assert steps.read_text("utf-8").split() == ["in", "out"] * 4
    assert answer.text == "hello"


def test_worker_does_not_outlive_a_killed_host(tmp_path: Path) -> None:
    """The worker of a killed host ends by itself."""
    (tmp_path / "function_app.py").write_text(_DYING_APP, "utf-8")
    script = (
        "import sys, threading; from pathlib import Path\n"
        "from infra.local.functions_host.host import FunctionsHost\n"
        "host = FunctionsHost(Path(sys.argv[1]), {}, function_key='k')\n"
        "host.start(); print(host.worker_pid, flush=True); threading.Event().wait()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, cwd=_PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())

        os.kill(process.pid, signal.SIGKILL)

    wait_until(lambda: not psutil.pid_exists(worker))
