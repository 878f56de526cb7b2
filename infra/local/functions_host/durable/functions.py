"""The functions that serve orchestrations, activities and entities."""

from durabletask.entities import EntityInstanceId

from infra.local.functions_host.errors import InvocationFailedError
from infra.local.functions_host.functions import Function

# The property of each trigger that names what the function serves.
_NAME_PROPERTIES = {
    "orchestrationTrigger": "orchestration",
    "activityTrigger": "activity",
    "entityTrigger": "entityName",
}


class DurableFunctions:
    """Finds the function for a work item, regardless of case.

    Each lookup raises :class:`InvocationFailedError` when there is none, so that the caller fails
    as it would in Azure.
    """

    def __init__(self, functions: tuple[Function, ...]) -> None:
        self._functions = {
            (trigger_type, str(function.trigger.get(key) or function.name).lower()): function
            for function in functions
            for trigger_type, key in _NAME_PROPERTIES.items()
            if function.trigger_type == trigger_type
        }

    def orchestrator(self, name: str) -> Function:
        """The orchestrator of this name."""
        return self._find("orchestrationTrigger", name)

    def activity(self, name: str) -> Function:
        """The activity of this name."""
        return self._find("activityTrigger", name)

    def entity(self, instance_id: str) -> Function:
        """The entity function of the instance ``@name@key``."""
        return self._find("entityTrigger", EntityInstanceId.parse(instance_id).entity)

    def _find(self, trigger_type: str, name: str) -> Function:
        function = self._functions.get((trigger_type, name.lower()))
        if function is None:
            message = f"the app has no function {name!r} with an {trigger_type}"
            raise InvocationFailedError("FunctionNotFound", message, "")
        return function
