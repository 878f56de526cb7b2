"""The functions of an app, as their bindings describe them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from infra.local.functions_host.worker.rpc import IndexedFunction

type Binding = Mapping[str, Any]


@dataclass(frozen=True)
class Function:
    """One function: its name, the worker's id for it, its trigger and its other bindings."""

    name: str
    function_id: str
    trigger: Binding
    other_bindings: tuple[Binding, ...]

    @classmethod
    def from_index(cls, indexed: IndexedFunction) -> Self:
        """The function as the worker indexed it."""
        bindings = [json.loads(text) for text in indexed["bindings"]]
        trigger = next(binding for binding in bindings if binding["type"].endswith("Trigger"))
        others = tuple(binding for binding in bindings if binding is not trigger)
        return cls(indexed["name"], indexed["id"], trigger, others)

    @property
    def trigger_type(self) -> str:
        """``httpTrigger``, ``blobTrigger``, ``activityTrigger`` and so on."""
        return str(self.trigger["type"])
