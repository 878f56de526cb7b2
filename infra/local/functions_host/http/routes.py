"""Routes of HTTP triggers, matched as ASP.NET Core matches them for Azure.

A template is literal segments and parameters: ``files/{id:int}``, ``{name?}``, ``{*rest}``.
Literals match without case; where several templates match, the more literal one wins. A known
route with another method is not found: Azure answers 404, not 405.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from infra.local.functions_host.errors import AppConfigError
from infra.local.functions_host.functions import Function

_CONSTRAINTS = {
    "": r"[^/]+",
    "alpha": r"[A-Za-z]+",
    "bool": r"(?i:true|false)",
    "guid": r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}",
    "int": r"-?\d+",
    "long": r"-?\d+",
}
_PARAMETER = re.compile(
    r"\{(?P<all>\*{0,2})(?P<name>\w+)(?::(?P<constraint>[^}?]*))?(?P<opt>\??)\}"
)
_ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)


@dataclass(frozen=True)
class Route:
    """One template of one function; ``methods`` empty means every method."""

    function: Function
    pattern: re.Pattern[str]
    precedence: tuple[int, ...]
    methods: frozenset[str]

    @classmethod
    def of(cls, function: Function, prefix: str) -> "Route":
        """The route of an HTTP function.

        Raises :class:`AppConfigError` for a constraint this host does not know.
        """
        own = str(function.trigger.get("route") or function.name).strip("/")
        segments = [segment for segment in f"{prefix}/{own}".split("/") if segment]
        methods = frozenset(str(name).upper() for name in function.trigger.get("methods") or ())
        pattern = "".join(_segment_pattern(segment, function) for segment in segments)
        precedence = tuple(_segment_rank(segment) for segment in segments)
        return cls(function, re.compile(f"{pattern}/?"), precedence, methods)

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The route's parameters when this request is for it; ``path`` is decoded."""
        if self.methods and method not in self.methods:
            return None
        found = self.pattern.fullmatch(path)
        return found and {name: value for name, value in found.groupdict().items() if value}


class RouteTable:
    """All routes of an app."""

    def __init__(self, functions: Iterable[Function], prefix: str) -> None:
        routes = [Route.of(function, prefix) for function in functions]
        self._routes = sorted(routes, key=lambda route: route.precedence)

    def find(self, method: str, raw_path: str) -> tuple[Function, dict[str, str]] | None:
        """The function for a request, and its route parameters; ``None`` when there is none."""
        path = _decoded(raw_path)
        for route in self._routes:
            if (parameters := route.match(method, path)) is not None:
                return route.function, parameters
        return None


def _decoded(raw_path: str) -> str:
    # An encoded slash stays as it is, as in Azure: it would change what the segments are.
    return "%2F".join(unquote(part) for part in _ENCODED_SLASH.split(raw_path))


def _segment_pattern(segment: str, function: Function) -> str:
    pattern, end, optional = "", 0, False
    for found in _PARAMETER.finditer(segment):
        pattern += _literal(segment[end : found.start()])
        end = found.end()
        constraint = found["constraint"] or ""
        if constraint not in _CONSTRAINTS:
            raise AppConfigError(
                f"the route of {function.name} has a constraint this host does not know: "
                f"{constraint!r}"
            )
        inner = ".*" if found["all"] and not constraint else _CONSTRAINTS[constraint]
        optional = optional or bool(found["opt"] or found["all"])
        pattern += f"(?P<{found['name']}>{inner})"
    pattern = "/" + pattern + _literal(segment[end:])
    return f"(?:{pattern})?" if optional else pattern


def _literal(text: str) -> str:
    return f"(?i:{re.escape(text)})" if text else ""


def _segment_rank(segment: str) -> int:
    """Lower is tried first: literal, mixed, constrained, free, rest of the path."""
    found = _PARAMETER.search(segment)
    if found is None:
        return 0
    if found["all"]:
        return 4
    if found.group() != segment:
        return 1
    return 2 if found["constraint"] else 3
