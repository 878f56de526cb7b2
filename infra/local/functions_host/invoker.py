"""Turns "this function was triggered with this" into a full invocation."""

import json

from infra.local.functions_host.functions import Function
from infra.local.functions_host.worker.rpc import Value
from infra.local.functions_host.worker.supervisor import WorkerProcess

_TASK_HUB = "local"
_GRPC_MESSAGE_BYTES = 2**31 - 1


class Invoker:
    """Calls functions, giving each the durable clients its bindings ask for."""

    def __init__(
        self, worker: WorkerProcess, *, durable_address: str, url: str, function_key: str
    ) -> None:
        self._worker = worker
        # The JSON that Azure's extension hands to a durableClient binding.
        self._durable_client = json.dumps(
            {
                "taskHubName": _TASK_HUB,
                "rpcBaseUrl": f"http://{durable_address}",
                "httpBaseUrl": f"{url}/runtime/webhooks/durabletask",
                "requiredQueryStringParameters": f"code={function_key}",
                "maxGrpcMessageSizeInBytes": _GRPC_MESSAGE_BYTES,
            }
        )

    async def __call__(
        self, function: Function, trigger: Value, *, redeliver: bool = True
    ) -> Value | None:
        """Call a function with what triggered it; what it returned.

        Raises what :meth:`WorkerProcess.invoke` raises.
        """
        inputs = {str(function.trigger["name"]): trigger}
        for binding in function.others:
            if binding["type"] == "durableClient":
                inputs[binding["name"]] = Value(kind="string", value=self._durable_client)
        return await self._worker.invoke(function, inputs, redeliver=redeliver)
