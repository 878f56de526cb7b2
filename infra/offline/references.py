"""Names in the Bicep files that lead nowhere, as ``bicep build`` would say."""

import re
from collections.abc import Iterator

from infra.offline.bicep import Template

_KEYWORDS = frozenset(
    {"targetScope", "param", "var", "resource", "module", "output", "existing"}
    | {"if", "for", "in", "true", "false", "null", "string", "int", "bool", "object", "array"}
)
_STRING = re.compile(r"'((?:\\.|\$\{[^}]*\}|[^'\\])*)'")
_IN_STRING = re.compile(r"(?<!\\)\$\{([^}]*)\}")
_NAME = re.compile(r"(?<![\w.?])[A-Za-z_]\w*\b(?![(:])")
_BOUND = re.compile(r"\bfor\s+(?:(\w+)|\((\w+),\s*(\w+)\))\s+in\b|\b(\w+)\s*=>")
_LOOPED = re.compile(r"\bin\s+(\w+)\s*:")
_OUTPUT = re.compile(r"\b(\w+)!?\.outputs\.(\w+)")


def faults(templates: dict[str, Template]) -> Iterator[str]:
    """Names that are not declared or not used, arguments and outputs that modules do not have."""
    for template in templates.values():
        yield from _names(template)
        yield from _modules(template, templates)


def _names(template: Template) -> Iterator[str]:
    code = _code(template.text)
    bound = {name for found in _BOUND.findall(code) for name in found if name}
    modules = {module.symbol for module in template.modules}
    resources = {resource.symbol for resource in template.resources}
    inputs = set(template.parameters) | set(template.variables)
    declared = inputs | modules | resources | set(template.outputs)
    used = [*_NAME.findall(code), *_LOOPED.findall(code)]
    for name in sorted(set(used) - declared - bound - _KEYWORDS):
        yield f"{template.file}: {name} is not declared"
    # Where a text holds others, as in a call within it, some names are lost: these count anywhere.
    lines = re.sub(r"(?m)^\s*//.*$", "", template.text)
    unused = {
        resource.symbol
        for resource in template.resources
        if resource.existing and len(re.findall(rf"\b{resource.symbol}\b", lines)) < 2
    }
    for name in sorted(inputs | unused):
        if name in unused or used.count(name) < 2:
            yield f"{template.file}: {name} is not used"


def _modules(template: Template, templates: dict[str, Template]) -> Iterator[str]:
    targets = {module.symbol: templates.get(module.target) for module in template.modules}
    for module in template.modules:
        target = targets[module.symbol]
        if target is None:
            yield f"{template.file}: {module.symbol}: there is no {module.target}"
            continue
        wanted = {name for name, each in target.parameters.items() if each["default"] is None}
        for name in sorted(wanted - set(module.arguments)):
            yield f"{template.file}: {module.symbol}: {name} is missing"
        for name in sorted(set(module.arguments) - set(target.parameters)):
            yield f"{template.file}: {module.symbol}: {target.file} takes no {name}"
    for symbol, output in _OUTPUT.findall(template.text):
        target = targets.get(symbol)
        if target is None or output not in target.outputs:
            yield f"{template.file}: {symbol} gives no {output}"


def _code(text: str) -> str:
    """The text without comments and extensions, and of strings only what is put into them."""
    text = re.sub(r"(?m)^(\s*//|extension ).*$", "", text)
    while True:
        bare = _STRING.sub(lambda found: f" {' '.join(_IN_STRING.findall(found[1]))} ", text)
        if bare == text:
            return text
        text = bare
