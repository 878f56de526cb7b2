"""The settings of an app's host.json that this host follows."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AliasPath, BaseModel, ConfigDict, Field, ValidationError

from infra.local.functions_host.errors import AppConfigError


def _extension(*path: str, default: str | None = None) -> Any:
    return Field(default, validation_alias=AliasPath("extensions", *path))


class HostJson(BaseModel):
    """The settings; ``None`` is no limit, and no version."""

    model_config = ConfigDict(frozen=True)

    route_prefix: Annotated[str, AfterValidator(lambda text: text.strip("/"))] = _extension(
        "http", "routePrefix", default="api"
    )
    max_activities: int | None = _extension("durableTask", "maxConcurrentActivityFunctions")
    max_orchestrators: int | None = _extension("durableTask", "maxConcurrentOrchestratorFunctions")
    default_version: str | None = _extension("durableTask", "defaultVersion")

    @classmethod
    def read(cls, app_folder: Path) -> Self:
        """The settings of the app in this folder; the defaults without a host.json.

        Raises :class:`AppConfigError` when the file is not JSON, or a setting has another type.
        """
        path = app_folder / "host.json"
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except ValidationError as error:
            raise AppConfigError(f"{path} is not valid: {error}") from error
