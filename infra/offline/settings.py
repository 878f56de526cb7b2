"""The app settings that the templates give the app."""

import json
from collections.abc import Iterator
from pathlib import Path

from infra.offline.bicep import INFRA, Template, Value, branches, called, given, shown

_CONFIG = "Microsoft.Web/sites/config"
_MAIN = "main.bicep"


def app_settings(templates: dict[str, Template], folder: Path = INFRA) -> dict[str, str]:
    """Every app setting by name, with its value as it is written."""
    settings: dict[str, str] = {}
    for template in templates.values():
        for resource in template.resources:
            if resource.type == _CONFIG and resource.body["name"] == "appsettings":
                found = _pairs(resource.body["properties"], template, templates, folder)
                settings |= {name: shown(value) for name, value in found}
    return settings


def _pairs(
    value: Value, template: Template, templates: dict[str, Template], folder: Path
) -> Iterator[tuple[str, Value]]:
    """What objects the value is put together from, through variables, conditions and arguments."""
    for each, place in _sources(value, template, templates, folder):
        if each is not value:
            yield from _pairs(each, place, templates, folder)
    if isinstance(value, dict) and not {"function", "operator", "type"} & set(value):
        yield from value.items()


def _sources(
    value: Value, template: Template, templates: dict[str, Template], folder: Path
) -> Iterator[tuple[Value, Template]]:
    if call := called(value):
        yield from ((argument, template) for argument in call[1].values())
    elif found := branches(value):
        yield from ((branch, template) for branch in found)
    elif isinstance(value, str) and value in template.variables:
        yield template.variables[value], template
    elif isinstance(value, str) and value in template.parameters:
        if template.file == _MAIN:
            yield _main_parameters(folder).get(value, {}).get("value"), template
        yield from given(value, template, templates)


def _main_parameters(folder: Path) -> dict[str, dict[str, Value]]:
    file = json.loads((folder / "main.parameters.json").read_text())
    parameters: dict[str, dict[str, Value]] = file["parameters"]
    return parameters
