"""An app's functions by trigger, and warnings about those that this host does not support."""

import logging
from collections.abc import Iterable, Mapping

from infra.local.functions_host.functions import Binding, Function

_SUPPORTED_BINDINGS = frozenset({"durableClient", "http"})
_DURABLE = frozenset({"orchestrationTrigger", "activityTrigger", "entityTrigger"})
_SUPPORTED_TRIGGERS = _DURABLE | {
    "httpTrigger",
    "blobTrigger",
    "eventGridTrigger",
    "timerTrigger",
}

logger = logging.getLogger(__name__)


class Triggers:
    """The functions that this host calls, by trigger; it logs a warning for each other one.

    The app setting ``AzureWebJobs.{function}.Disabled`` disables a function, as in Azure.
    """

    def __init__(self, functions: Iterable[Function], settings: Mapping[str, str]) -> None:
        enabled = [each for each in functions if _is_callable(each, settings)]
        self.http = _of_type(enabled, {"httpTrigger"})
        self.blob = _of_type(enabled, {"blobTrigger"})
        self.event_grid = _of_type(enabled, {"eventGridTrigger"})
        self.timer = _of_type(enabled, {"timerTrigger"})
        self.durable = _of_type(enabled, _DURABLE)


def _of_type(functions: Iterable[Function], types: Iterable[str]) -> tuple[Function, ...]:
    return tuple(function for function in functions if function.trigger_type in types)


def _is_callable(function: Function, settings: Mapping[str, str]) -> bool:
    kind = function.trigger_type
    disabled = f"AzureWebJobs.{function.name}.Disabled"
    bindings = {str(binding["type"]) for binding in function.other_bindings}
    if settings.get(disabled, "").lower() in {"1", "true"}:
        reason = f"the app setting {disabled} is set"
    elif kind not in _SUPPORTED_TRIGGERS:
        reason = f"this host has no {kind}"
    elif kind == "blobTrigger" and not _is_deferred(function.trigger):
        reason = "its blob is not bound to a BlobClient"
    elif unsupported := bindings - _SUPPORTED_BINDINGS:
        reason = f"this host has no binding {', '.join(sorted(unsupported))}"
    else:
        return True
    logger.warning("Function %s will never be called: %s.", function.name, reason)
    return False


def _is_deferred(binding: Binding) -> bool:
    properties = binding.get("properties", {})
    return str(properties.get("SupportsDeferredBinding", "")).lower() == "true"
