"""What the host reads of an app's host.json."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from infra.local.functions_host.errors import AppConfigError


@dataclass(frozen=True)
class HostJson:
    """The settings this host follows; ``None`` is no limit, and no version."""

    route_prefix: str = "api"
    max_activities: int | None = None
    max_orchestrators: int | None = None
    default_version: str | None = None

    @classmethod
    def read(cls, app_folder: Path) -> Self:
        """The settings of the app in this folder; the defaults when it has no host.json.

        Raises :class:`AppConfigError` when the file is not JSON.
        """
        path = app_folder / "host.json"
        if not path.exists():
            return cls()
        try:
            extensions: dict[str, Any] = json.loads(path.read_text("utf-8")).get("extensions", {})
        except ValueError as error:
            raise AppConfigError(f"{path} is not JSON: {error}") from error
        durable = extensions.get("durableTask", {})
        return cls(
            route_prefix=extensions.get("http", {}).get("routePrefix", "api").strip("/"),
            max_activities=durable.get("maxConcurrentActivityFunctions"),
            max_orchestrators=durable.get("maxConcurrentOrchestratorFunctions"),
            default_version=durable.get("defaultVersion"),
        )
