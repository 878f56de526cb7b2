"""Azure's description of its resource types, and what a template does against it.

The snapshot (``tests/data/bicep_schemas.json``) is made by ``make schemas``. By resource type it
has the API version and its objects, the resource itself under the empty name; of an object the
properties that can be written, with their types.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

from infra.offline.bicep import Resource, Template, Value, called

# What Bicep itself takes in any resource, beside the properties of its type.
_BICEP = frozenset({"parent", "scope", "dependsOn"})
_PLAIN = {"string": str, "int": int, "bool": bool}


class ObjectType(TypedDict):
    """An object. ``other`` is the type of properties with any name; ``kinds`` are its variants,
    distinguished by the property ``discriminator``."""

    properties: dict[str, str]
    required: list[str]
    other: NotRequired[str]
    discriminator: NotRequired[str]
    kinds: NotRequired[dict[str, "ObjectType"]]


class ResourceSchema(TypedDict):
    """One resource type in one API version."""

    version: str
    types: dict[str, ObjectType]


@dataclass(slots=True)
class Check:
    """Compares a template's values with a schema. ``seen`` are the types it has met."""

    template: Template
    schema: ResourceSchema
    seen: set[str] = field(default_factory=set)

    def faults(self, resource: Resource) -> Iterator[str]:
        """What the resource has that its type does not, in words."""
        place = f"{resource.file}: {resource.symbol}"
        if resource.version != self.schema["version"]:
            known = self.schema["version"]
            yield f"{place}: version {resource.version}, but the schema's is {known}"
        if not resource.existing:
            body = {name: value for name, value in resource.body.items() if name not in _BICEP}
            yield from self._value(body, "", place)

    def _value(self, value: Value, type_: str, place: str) -> Iterator[str]:
        for each in self.template.alternatives(value):
            yield from self._one(each, type_, place)

    def _one(self, value: Value, type_: str, place: str) -> Iterator[str]:
        if value is None or called(value) or (isinstance(value, dict) and "operator" in value):
            return  # known in Azure only
        if type_.endswith("[]"):
            if isinstance(value, list):
                for each in value:
                    yield from self._value(each, type_.removesuffix("[]"), place)
            elif isinstance(value, dict):
                yield f"{place}: should be a list"
        elif type_ in self.schema["types"]:
            self.seen.add(type_)
            if isinstance(value, dict):
                yield from self._object(value, self.schema["types"][type_], place)
            elif isinstance(value, list):
                yield f"{place}: should be an object"
        else:
            yield from self._plain(value, type_.split(" | "), place)

    def _object(self, value: dict[str, Value], type_: ObjectType, place: str) -> Iterator[str]:
        properties, required = type_["properties"], type_["required"]
        if "discriminator" in type_:
            kind = type_["kinds"].get(str(value.get(type_["discriminator"])))
            if kind is None:
                kinds = ", ".join(type_["kinds"])
                yield f"{place}.{type_['discriminator']}: should be one of {kinds}"
                return
            properties, required = properties | kind["properties"], required + kind["required"]
        for name, each in value.items():
            known = properties.get(name, type_.get("other"))
            if known is None:
                yield f"{place}.{name}: there is no such property to be set"
            else:
                yield from self._value(each, known, f"{place}.{name}")
        yield from (f"{place}.{name}: missing" for name in required if name not in value)

    def _plain(self, value: Value, choices: list[str], place: str) -> Iterator[str]:
        # The value of a parameter is known in Azure only.
        named = isinstance(value, str) and (value in self.template.parameters or "${" in value)
        if named or "any" in choices or not set(choices).isdisjoint(self.schema["types"]):
            return
        if isinstance(value, dict | list):
            yield f"{place}: should be {' | '.join(choices)}, or `make schemas` is due"
        elif any(type(value) is _PLAIN.get(choice) for choice in choices):
            return
        elif str(value) not in choices:
            yield f"{place}: {value} should be {' | '.join(choices)}"


def reduced(answer: list[dict[str, Any]]) -> ResourceSchema:
    """The schema out of an answer of ``azmcp bicepschema get``."""
    resource, *others = answer
    types = {"": _reduced_object(resource["bodyType"])}
    for other in others:
        if other["$type"] in {"Object", "DiscriminatedObject"}:
            types[other["name"]] = _reduced_object(other)
    return {"version": resource["name"].partition("@")[2], "types": types}


def pruned(schema: ResourceSchema, seen: set[str]) -> ResourceSchema:
    """The schema with no more types than these."""
    types = {name: each for name, each in schema["types"].items() if name in seen}
    return {"version": schema["version"], "types": types}


def _reduced_object(described: dict[str, Any]) -> ObjectType:
    listed = described.get("properties") or described.get("baseProperties") or []
    flags = {each["name"]: each.get("flags", "") for each in listed}
    reduced_type: ObjectType = {
        "properties": {
            each["name"]: each["type"] for each in listed if "ReadOnly" not in flags[each["name"]]
        },
        "required": [name for name, each in flags.items() if "Required" in each],
    }
    if other := described.get("additionalPropertiesType"):
        reduced_type["other"] = other
    if discriminator := described.get("discriminator"):
        kinds = [_reduced_object(each) for each in described["elements"]]
        reduced_type["discriminator"] = discriminator
        reduced_type["kinds"] = {kind["properties"][discriminator]: kind for kind in kinds}
    return reduced_type
