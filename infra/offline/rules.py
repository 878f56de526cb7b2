"""What Azure refuses although the compiler takes it, as rules over all templates."""

import re
from collections.abc import Iterator

from infra.offline.bicep import Resource, Template, Value, branches, called, given

# Changes of these collide when they are made at once in one network or for one account.
_ONE_BY_ONE = "Microsoft.Network/privateEndpoints"
_NUMBERED = re.compile(r"[\w.]+\[\d+\][\w.]*")
_HOST = re.compile(r"[\w-]*(?:\.[\w-]+)+\.(?:cn|com|net|us|de)\b|\.[\w-]+\.(?:cn|com|net|us|de)\b")
# Stands for a text that is known in Azure only, and is not empty there.
_SOMETHING = "x"
_PLACEHOLDER = re.compile(r"(?<!\\)\$\{([^}]*)\}")


def faults(templates: dict[str, Template]) -> Iterator[str]:
    """What breaks a rule, each with its file and its resource."""
    for template in templates.values():
        yield from _empty_names(template, templates)
        yield from _absent(template)
        yield from _at_once(template)
        yield from _by_number(template)
        yield from _hosts(template)


def _empty_names(template: Template, templates: dict[str, Template]) -> Iterator[str]:
    """Names of conditional resources that can be empty.

    Azure checks the name of a resource whose condition is false, too (Azure/bicep #10596, #9594).
    """
    empty = _emptied(template, templates)
    for resource in template.resources:
        if not resource.conditional:
            continue
        for owner in _lineage(resource, template):
            if any(
                not all(name.split("/")) for name in _texts(owner.body["name"], template, empty)
            ):
                yield (
                    f"{template.file}: {resource.symbol}: its name is checked even when its "
                    f"condition is false, and that of {owner.symbol} can be empty"
                )


def _absent(template: Template) -> Iterator[str]:
    """Existing resources that a substitute may stand for, and that Azure would look for.

    With symbolic names (Bicep uses them where a module has no name, say) it reads each of them
    whose condition is not false.
    """
    for resource in template.resources:
        if resource.existing and not resource.conditional and branches(resource.body.get("name")):
            yield (
                f"{template.file}: {resource.symbol}: it may be absent, and is read all the same; "
                "give it a condition"
            )


def _at_once(template: Template) -> Iterator[str]:
    for resource in template.resources:
        one_by_one = resource.decorators.get("batchSize") == 1
        if resource.type.startswith(_ONE_BY_ONE) and resource.repeated and not one_by_one:
            yield f"{template.file}: {resource.symbol}: made at once; @batchSize(1) is missing"


def _by_number(template: Template) -> Iterator[str]:
    """Parts that are named by their place in a list, which Azure may give in another order."""
    for line in template.text.splitlines():
        if found := _NUMBERED.search(line.partition("//")[0]):
            yield f"{template.file}: {found[0]} is named by its place; use its id"


def _hosts(template: Template) -> Iterator[str]:
    """Host names: every cloud has its own, which ``environment()`` and the resources know."""
    for line in template.text.splitlines():
        if found := _HOST.search(line.partition("//")[0] if "://" not in line else line):
            yield f"{template.file}: {found[0]} is of one cloud; use environment() or the resource"


def _lineage(resource: Resource, template: Template) -> Iterator[Resource]:
    """The resource, its parents and what it is put on: their names are parts of its own."""
    by_symbol = {each.symbol: each for each in template.resources}
    owner: Resource | None = resource
    while owner is not None:
        yield owner
        owner = by_symbol.get(str(owner.body.get("parent", owner.body.get("scope"))))


def _emptied(template: Template, templates: dict[str, Template]) -> frozenset[str]:
    """Parameters that are empty by their default, or by what some user of the template gives."""
    return frozenset(
        name
        for name, parameter in template.parameters.items()
        if parameter["default"] == "" or any(_gives_nothing(name, template, templates))
    )


def _gives_nothing(name: str, template: Template, templates: dict[str, Template]) -> Iterator[bool]:
    for value, caller in given(name, template, templates):
        yield "" in _texts(value, caller, _emptied(caller, templates))


def _texts(value: Value, template: Template, empty: frozenset[str]) -> set[str]:
    """What the value can be where all these parameters are empty."""
    if isinstance(value, str):
        return _named(value, template, empty)
    if (found := _choice(value)) is None:
        return {_SOMETHING}
    condition, negated, chosen = found
    truth = _truth(condition, empty)
    if truth is not None:
        chosen = chosen[:1] if truth is not negated else chosen[1:]
    return {text for each in chosen for text in _texts(each, template, empty)}


def _choice(value: Value) -> tuple[Value, bool, tuple[Value, ...]] | None:
    """Condition and branches of ``? :``, if the value is one; whether the condition is negated.

    The parser reads ``!a ? b : c`` as ``!(a ? b : c)``. Of another operator in that place nothing
    is known: None is the condition.
    """
    operator = value.get("operator") if isinstance(value, dict) else None
    if not isinstance(operator, dict):
        return None
    operands = operator["operands"]
    if operator["type"] == "conditional":
        return operands["condition"], False, (operands["true_value"], operands["false_value"])
    if (inner := _choice(list(operands.values())[-1])) is None:
        return None
    condition, negated, chosen = inner
    return (condition, not negated, chosen) if operator["type"] == "not" else (None, False, chosen)


def _named(value: str, template: Template, empty: frozenset[str]) -> set[str]:
    if value in empty:
        return {""}
    if value in template.parameters:
        return {_SOMETHING}
    if value in template.variables:
        return _texts(template.variables[value], template, empty)
    found = {value}
    for part in set(_PLACEHOLDER.findall(value)):
        # A name alone; of anything longer nothing is known.
        inner = _named(part, template, empty) if part.isidentifier() else {_SOMETHING}
        found = {text.replace(f"${{{part}}}", each) for text in found for each in inner}
    return found


def _truth(condition: Value, empty: frozenset[str]) -> bool | None:
    """Whether ``empty(parameter)``, or its opposite, holds; None for any other condition."""
    if call := called(condition):
        name, arguments = call
        tested = next(iter(arguments.values()), None)
        return tested in empty if name == "empty" and isinstance(tested, str) else None
    operator = condition.get("operator") if isinstance(condition, dict) else None
    if isinstance(operator, dict) and operator["type"] == "not":
        opposite = _truth(next(iter(operator["operands"].values())), empty)
        return None if opposite is None else not opposite
    return None
