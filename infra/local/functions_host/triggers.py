"""Sorts an app's functions by what triggers them, and says what this host does not serve."""

import logging
from collections.abc import Iterable, Mapping

from infra.local.functions_host.functions import Binding, Function

_SERVED_BINDINGS = frozenset({"durableClient", "http"})
_DURABLE = frozenset({"orchestrationTrigger", "activityTrigger", "entityTrigger"})

logger = logging.getLogger(__name__)


class Triggers:
    """The functions this host serves, by kind; for each other one there is a warning line.

    The app setting ``AzureWebJobs.{function}.Disabled`` takes one out, as in Azure.
    """

    def __init__(self, functions: Iterable[Function], settings: Mapping[str, str]) -> None:
        served = [each for each in functions if _is_served(each, settings)]
        self.http = _of_type(served, {"httpTrigger"})
        self.blob = _of_type(served, {"blobTrigger"})
        self.event_grid = _of_type(served, {"eventGridTrigger"})
        self.timer = _of_type(served, {"timerTrigger"})
        self.durable = _of_type(served, _DURABLE)


def _of_type(functions: Iterable[Function], types: Iterable[str]) -> tuple[Function, ...]:
    return tuple(function for function in functions if function.trigger_type in types)


def _is_served(function: Function, settings: Mapping[str, str]) -> bool:
    kind = function.trigger_type
    switch = f"AzureWebJobs.{function.name}.Disabled"
    if settings.get(switch, "").lower() in {"1", "true"}:
        reason = f"the app setting {switch} says so"
    elif kind not in {"httpTrigger", "blobTrigger", "eventGridTrigger", "timerTrigger", *_DURABLE}:
        reason = f"this host has no {kind}"
    elif kind == "blobTrigger" and not _is_deferred(function.trigger):
        reason = "its blob is not bound to a BlobClient"
    elif unserved := {str(other["type"]) for other in function.others} - _SERVED_BINDINGS:
        reason = f"this host has no binding {', '.join(sorted(unserved))}"
    else:
        return True
    logger.warning("Function %s will never be called: %s.", function.name, reason)
    return False


def _is_deferred(binding: Binding) -> bool:
    properties = binding.get("properties", {})
    return str(properties.get("SupportsDeferredBinding", "")).lower() == "true"
