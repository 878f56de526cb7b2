"""Calls a function with its trigger's value and the inputs of its other bindings."""

import json

from infra.local.functions_host.functions import Function
from infra.local.functions_host.worker.rpc import Value
from infra.local.functions_host.worker.supervisor import WorkerSupervisor

_TASK_HUB = "local"
_MAX_GRPC_MESSAGE_BYTES = 2**31 - 1


class Invoker:
    """Calls functions; a ``durableClient`` binding gets a client of the engine."""

    def __init__(
        self, worker: WorkerSupervisor, *, durable_address: str, url: str, function_key: str
    ) -> None:
        self._worker = worker
        # The JSON that Azure's extension passes to a durableClient binding.
        self._durable_client = json.dumps(
            {
                "taskHubName": _TASK_HUB,
                "rpcBaseUrl": f"http://{durable_address}",
                "httpBaseUrl": f"{url}/runtime/webhooks/durabletask",
                "requiredQueryStringParameters": f"code={function_key}",
                "maxGrpcMessageSizeInBytes": _MAX_GRPC_MESSAGE_BYTES,
            }
        )

    async def __call__(
        self, function: Function, trigger: Value, *, redeliver: bool = True
    ) -> Value | None:
        """Call a function with its trigger's value, and return its result.

        Raises as :meth:`WorkerSupervisor.invoke` does.
        """
        inputs = {str(function.trigger["name"]): trigger}
        for binding in function.other_bindings:
            if binding["type"] == "durableClient":
                inputs[binding["name"]] = Value(kind="string", value=self._durable_client)
        return await self._worker.invoke(function, inputs, redeliver=redeliver)
