"""The Bicep files as data, without Azure or a compiler.

The parser gives names and texts alike as ``str``; a text that is also the name of a declaration is
taken for that name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pycep import BicepParser

INFRA = Path(__file__).parents[1]

# A value as the parser gives it: JSON, with operators, functions and loops as objects.
Value = Any


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of a template.

    ``why`` is the comment above it, ``decorators`` what stands above it by name.
    """

    file: str
    symbol: str
    type: str
    version: str
    existing: bool
    conditional: bool
    repeated: bool
    body: dict[str, Value]
    why: str
    decorators: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Module:
    """A use of another template of this folder; ``target`` is that template's file."""

    symbol: str
    target: str
    conditional: bool
    arguments: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Template:
    """One Bicep file, named by its path from ``infra``."""

    file: str
    text: str
    parameters: dict[str, Value]
    variables: dict[str, Value]
    resources: tuple[Resource, ...]
    modules: tuple[Module, ...]
    outputs: dict[str, Value]

    def alternatives(self, value: Value) -> Iterator[Value]:
        """What the value can be: variables are looked up, conditions give both of their branches.

        A loop gives a list of one.
        """
        if isinstance(value, str) and value in self.variables:
            yield from self.alternatives(self.variables[value])
        elif found := branches(value):
            for each in found:
                yield from self.alternatives(each)
        elif isinstance(value, dict) and "loop_type" in value:
            yield [value["config"]]
        else:
            yield value


def read_templates(folder: Path = INFRA) -> dict[str, Template]:
    """Every template of the folder and of its ``app``, by file.

    Raises the parser's own error, and :class:`ValueError`, for what is no Bicep.
    """
    files = [*sorted(folder.glob("*.bicep")), *sorted(folder.glob("app/*.bicep"))]
    read = (_template(path, path.relative_to(folder).as_posix()) for path in files)
    return {template.file: template for template in read}


def given(
    name: str, template: Template, templates: dict[str, Template]
) -> Iterator[tuple[Value, Template]]:
    """What the templates that use this one give for its parameter, each with where it is said."""
    for caller in templates.values():
        for module in caller.modules:
            if module.target == template.file and name in module.arguments:
                yield module.arguments[name], caller


def decorators(declared: Value) -> dict[str, Value]:
    """What stands above a parameter or a resource, by name, with its argument."""
    return {each["type"]: each.get("argument") for each in declared["decorators"]}


def branches(value: Value) -> tuple[Value, Value] | None:
    """What ``? :`` chooses from, if the value is one.

    The parser reads ``a == b ? c : d`` as ``a == (b ? c : d)``: the last operand is looked into.
    """
    if not (isinstance(value, dict) and isinstance(found := value.get("operator"), dict)):
        return None
    operands: dict[str, Value] = found["operands"]
    if found["type"] == "conditional":
        return operands["true_value"], operands["false_value"]
    return branches(list(operands.values())[-1])


def called(value: Value) -> tuple[str, dict[str, Value]] | None:
    """Name and arguments, if the value is a function's."""
    if isinstance(value, dict) and isinstance(found := value.get("function"), dict):
        return found["type"], dict(found["parameters"])
    return None


def shown(value: Value) -> str:
    """The value for people: nearly as it is written."""
    if call := called(value):
        arguments = (shown(argument) for argument in call[1].values() if argument is not None)
        return f"{call[0]}({', '.join(arguments)})"
    if isinstance(value, dict) and "operator" in value:
        return _shown_operator(value["operator"])
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    return str(value)


def _shown_operator(operator: dict[str, Value]) -> str:
    parts = [shown(part) for part in operator["operands"].values()]
    match operator["type"]:
        case "property_accessor":
            return ".".join(parts)
        case "conditional":
            return f"{parts[0]} ? {parts[1]} : {parts[2]}"
        case other:
            return f"{other}({', '.join(parts)})"


@cache
def _parser() -> BicepParser:
    return BicepParser(add_line_numbers=True, cache=False)


def _template(path: Path, file: str) -> Template:
    parsed: dict[str, Value] = _plain(_parser().parse(file_path=path))
    text = path.read_text()
    return Template(
        file=file,
        text=text,
        parameters=parsed.get("parameters", {}),
        variables={name: each["value"] for name, each in parsed.get("variables", {}).items()},
        resources=tuple(
            _resource(file, symbol, each, text)
            for symbol, each in parsed.get("resources", {}).items()
        ),
        modules=tuple(
            _module(path, symbol, each) for symbol, each in parsed.get("modules", {}).items()
        ),
        outputs={name: each["value"] for name, each in parsed.get("outputs", {}).items()},
    )


def _plain(value: Value) -> Value:
    """The parser leaves quotes on keys that are written with them, and tokens among the texts."""
    if isinstance(value, dict):
        return {key.strip("'"): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, str) else value


def _resource(file: str, symbol: str, parsed: Value, text: str) -> Resource:
    body, conditional, repeated = _unwrapped(parsed["config"])
    return Resource(
        file=file,
        symbol=symbol,
        type=parsed["type"],
        version=parsed["api_version"],
        existing=parsed["existing"],
        conditional=conditional,
        repeated=repeated,
        body=body,
        why=_comment_above(text.splitlines(), parsed["__start_line__"]),
        decorators=decorators(parsed),
    )


def _module(path: Path, symbol: str, parsed: Value) -> Module:
    body, conditional, _ = _unwrapped(parsed["config"])
    target = (path.parent / parsed["detail"]["path"]).resolve()
    return Module(symbol, target.relative_to(INFRA).as_posix(), conditional, body.get("params", {}))


def _unwrapped(config: Value) -> tuple[dict[str, Value], bool, bool]:
    """The body without its condition and loop, and whether it had them."""
    conditional = repeated = False
    while "config" in config:
        repeated = repeated or "loop_type" in config
        conditional = conditional or config.get("condition") is not None
        config = config["config"]
    return dict(config), conditional, repeated


def _comment_above(lines: list[str], line: int) -> str:
    words: list[str] = []
    for each in reversed(lines[: line - 1]):
        if not each.startswith("//"):
            break
        words.insert(0, each.removeprefix("//").strip())
    return " ".join(words)
