"""A small app with one function of each kind, for the tests of the local Functions host."""

# One-argument orchestrators are documented, yet the decorator is typed for two arguments.
# mypy: disable-error-code="arg-type"

import json
import os
import time
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import azure.functions as func
from azurefunctions.extensions.bindings import blob
from durabletask.entities import EntityInstanceId
from durabletask.task import OrchestrationContext

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)

type Steps = Generator[Any, Any, Any]


def note(name: str, text: str) -> None:
    """Append a line to a file that the test can read, in the folder of an app setting."""
    with (Path(os.environ["NOTES"]) / name).open("a", encoding="utf-8") as notes:
        notes.write(f"{text}\n")


@app.orchestration_trigger(context_name="context")
def add_up(context: df.DurableOrchestrationContext) -> Steps:
    """The sum of the doubles of the numbers given."""
    numbers = context.get_input()
    doubles = yield context.task_all([context.call_activity("double", n) for n in numbers])
    return sum(doubles)


@app.activity_trigger(input_name="number", activity="double")
def double_number(number: int) -> int:
    """Twice the number."""
    return number * 2


@app.orchestration_trigger(context_name="context")
def survive(context: df.DurableOrchestrationContext) -> Steps:
    """The message of an activity's failure."""
    try:
        yield context.call_activity("fail", context.get_input())
    except Exception as error:  # noqa: BLE001 (the test checks which one)
        return str(error)


@app.activity_trigger(input_name="text")
def fail(text: str) -> None:
    """Raise an exception, with this message or without one."""
    raise ValueError(*([text] if text else []))


@app.orchestration_trigger(context_name="context")
def nap(context: df.DurableOrchestrationContext) -> Steps:
    """Wait for a short timer."""
    yield context.create_timer(context.current_utc_datetime + timedelta(milliseconds=300))
    return "rested"


@app.orchestration_trigger(context_name="context")
def count_with_lock(context: OrchestrationContext, _input: object) -> Steps:
    """Read and write a counter as one step, by its lock."""
    counter = EntityInstanceId("Counter", "shared")
    with (yield context.lock_entities([counter])):
        value = yield context.call_entity(counter, "get")
        yield context.call_entity(counter, "set", value + 1)
    return value + 1


@app.entity_trigger(context_name="context", entity_name="Counter")
def counter_entity(context: df.DurableEntityContext) -> None:
    """A number."""
    value = context.get_state(lambda: 0)
    if context.operation_name == "set":
        value = context.get_input()
        context.set_state(value)
    context.set_result(value)


@app.orchestration_trigger(context_name="context")
def wait_for_word(context: df.DurableOrchestrationContext) -> Steps:
    """The payload of an external event."""
    return (yield context.wait_for_external_event("word"))


@app.orchestration_trigger(context_name="context")
def stumble(context: df.DurableOrchestrationContext) -> Steps:
    """Raise an exception in the orchestrator."""
    yield context.call_activity("double", 1)
    raise KeyError("no such step")


@app.orchestration_trigger(context_name="context")
def slow_work(context: df.DurableOrchestrationContext) -> Steps:
    """One activity that waits for a file."""
    return (yield context.call_activity("wait_for_file", "now"))


@app.activity_trigger(input_name="unused")
def wait_for_file(unused: str) -> int:
    """Note this process, then wait for the file ``go``."""
    note("announced", str(os.getpid()))
    go = Path(os.environ["NOTES"]) / "go"
    while not go.exists():
        time.sleep(0.02)
    return os.getpid()


@app.blob_trigger(arg_name="arrived", path="%WATCHED%/in/{name}", connection="Storage")
@app.durable_client_input(client_name="client")
async def blob_came(arrived: blob.BlobClient, client: df.DurableOrchestrationClient) -> None:
    """Note each blob and its content; fail for those named ``bad``."""
    content = arrived.download_blob().readall().decode()
    note("blobs", f"{arrived.blob_name}={content}")
    if arrived.blob_name.endswith("bad"):
        raise ValueError("not this one")


@app.route(route="start/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Start an orchestration by name; the body is its input."""
    name = req.route_params["name"]
    instance = await client.start_new(name, client_input=json.loads(req.get_body() or b"null"))
    return func.HttpResponse(instance)


@app.route(route="items/{id:int}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def read_item(req: func.HttpRequest) -> func.HttpResponse:
    """The id of the item."""
    return func.HttpResponse(f"read {req.route_params['id']} {dict(req.params)}")


@app.route(route="items/{id:int}", methods=["DELETE"], auth_level=func.AuthLevel.ANONYMOUS)
def delete_item(req: func.HttpRequest) -> func.HttpResponse:
    """Nothing."""
    return func.HttpResponse(status_code=204)


@app.route(route="files/{*rest}", auth_level=func.AuthLevel.ANONYMOUS)
def name_file(req: func.HttpRequest) -> func.HttpResponse:
    """The rest of the path."""
    return func.HttpResponse(req.route_params["rest"])


@app.route(auth_level=func.AuthLevel.ANONYMOUS)
def echo(req: func.HttpRequest) -> func.HttpResponse:
    """The body of the request, with another status and headers."""
    headers = {"X-Method": req.method, "Content-Type": "application/x-odd"}
    return func.HttpResponse(req.get_body(), status_code=201, headers=headers)


@app.route(route="broken")
def broken(req: func.HttpRequest) -> func.HttpResponse:
    """Raise an exception."""
    raise RuntimeError("broken on purpose")


@app.route(route="die", auth_level=func.AuthLevel.ANONYMOUS)
def die(req: func.HttpRequest) -> func.HttpResponse:
    """End the worker process."""
    note("died", str(os.getpid()))
    os._exit(1)


@app.event_grid_trigger(arg_name="event")
def event_came(event: func.EventGridEvent) -> None:
    """Note the event; fail for those of type ``Bad``."""
    note("events", event.id)
    if getattr(event, "event_type", "") == "Bad":
        raise ValueError("not this one")


@app.timer_trigger(arg_name="timer", schedule="0 0 * * * *")
def hourly(timer: func.TimerRequest) -> None:
    """Note the hour."""
    note("hours", f"past due: {timer.past_due}")


@app.timer_trigger(arg_name="timer", schedule="0 0 * * * *")
def late(timer: func.TimerRequest) -> None:
    """Raise an exception."""
    raise RuntimeError("too late")


@app.queue_trigger(arg_name="message", queue_name="messages", connection="Storage")
def message_came(message: func.QueueMessage) -> None:
    """Never called by the local host."""
    note("messages", "one")
