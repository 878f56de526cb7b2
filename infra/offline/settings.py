"""The app settings that the templates give the app."""

import json
from collections.abc import Iterator

from infra.offline.bicep import INFRA, Template, Value, branches, called, given, shown

_CONFIG = "Microsoft.Web/sites/config"
_MAIN = "main.bicep"


def app_settings(templates: dict[str, Template]) -> dict[str, str]:
    """Every app setting by name, with its value as it is written."""
    settings: dict[str, str] = {}
    for template in templates.values():
        for resource in template.resources:
            if resource.type == _CONFIG and resource.body["name"] == "appsettings":
                found = _pairs(resource.body["properties"], template, templates)
                settings |= {name: shown(value) for name, value in found}
    return settings


def _pairs(
    value: Value, template: Template, templates: dict[str, Template]
) -> Iterator[tuple[str, Value]]:
    """What is in the objects that the value is put together from."""
    for each, place in _sources(value, template, templates):
        yield from _pairs(each, place, templates)
    if isinstance(value, dict) and not {"function", "operator", "type"} & set(value):
        yield from value.items()


def _sources(
    value: Value, template: Template, templates: dict[str, Template]
) -> Iterator[tuple[Value, Template]]:
    """What stands behind a function, a condition, a variable or a parameter, and where it does."""
    if call := called(value):
        yield from ((argument, template) for argument in call[1].values())
    elif found := branches(value):
        yield from ((branch, template) for branch in found)
    elif isinstance(value, str) and value in template.variables:
        yield template.variables[value], template
    elif isinstance(value, str) and value in template.parameters:
        if template.file == _MAIN:
            yield _from_environment(value), template
        yield from given(value, template, templates)


def _from_environment(parameter: str) -> Value:
    """What main.parameters.json gives for it."""
    file = json.loads((INFRA / "main.parameters.json").read_text())
    return file["parameters"][parameter]["value"]
