"""Routes of HTTP triggers, given to aiohttp's router so that it matches as Azure does.

A route consists of literal segments and parameters: ``files/{id:int}``, ``{name?}``, ``{*rest}``.
Case does not matter. aiohttp takes the first route that matches, so the routes with the more
literal segments are registered first.
"""

import re
from collections.abc import Callable, Iterable

from aiohttp import web
from aiohttp.typedefs import Handler

from infra.local.functions_host.errors import AppConfigError
from infra.local.functions_host.functions import Function

_CONSTRAINTS = {
    None: r"[^/]+",
    "alpha": r"[A-Z]+",
    "bool": r"true|false",
    "guid": r"[0-9A-F]{8}-(?:[0-9A-F]{4}-){3}[0-9A-F]{12}",
    "int": r"-?\d+",
    "long": r"-?\d+",
}
_PARAMETER = re.compile(r"\{(?P<catch_all>\*{0,2})(?P<name>\w+)(?::(?P<constraint>[^}?]*))?\??\}")
_WHOLE_PATH = "_path"


def add_function_routes(
    router: web.UrlDispatcher,
    functions: Iterable[Function],
    prefix: str,
    handler: Callable[[Function], Handler],
) -> None:
    """Register each function's route, for its methods or for all when it names none.

    Raises :class:`AppConfigError` for a constraint this host does not know.
    """
    routes = [(function, _segments(function, prefix)) for function in functions]
    for function, segments in sorted(routes, key=lambda route: [*map(_rank, route[1])]):
        methods = function.trigger.get("methods") or ("*",)
        for path in _router_paths(function, segments):
            # A resource of its own: of two functions with the same route, the first one counts.
            resource = web.DynamicResource(path)
            router.register_resource(resource)
            for method in methods:
                resource.add_route(str(method), handler(function))


def route_parameters(request: web.Request) -> dict[str, str]:
    """The parameters of the matched route, decoded except for ``%2F``, as in Azure."""
    pattern = request.match_info.get_info()["pattern"]
    found = pattern.fullmatch(request.rel_url.path_safe)
    return {
        name: value.replace("%25", "%")
        for name, value in (found.groupdict() if found else {}).items()
        if value and name != _WHOLE_PATH
    }


def _segments(function: Function, prefix: str) -> list[str]:
    own = str(function.trigger.get("route") or function.name)
    return [segment for segment in f"{prefix}/{own}".split("/") if segment]


def _router_paths(function: Function, segments: list[str]) -> list[str]:
    """The route as regular expressions, each of which aiohttp takes as one parameter's pattern.

    There is one more for each segment that may be absent: aiohttp needs every parameter of a path.
    """
    patterns = [""]
    for segment in segments:
        longest = patterns[0] + ("/" if patterns[0] else "") + _segment_pattern(function, segment)
        may_be_absent = segment.startswith("{*") or segment.endswith("?}")
        patterns = [longest, *patterns] if may_be_absent else [longest]
    return [f"/{{{_WHOLE_PATH}:(?i:{pattern})/?}}" for pattern in patterns]


def _segment_pattern(function: Function, segment: str) -> str:
    pattern, end = "", 0
    for found in _PARAMETER.finditer(segment):
        constraint = found["constraint"]
        if constraint not in _CONSTRAINTS:
            raise AppConfigError(
                f"the route of {function.name} has a constraint this host does not know: "
                f"{constraint!r}"
            )
        value = ".*" if found["catch_all"] and not constraint else _CONSTRAINTS[constraint]
        pattern += f"{re.escape(segment[end : found.start()])}(?P<{found['name']}>{value})"
        end = found.end()
    return pattern + re.escape(segment[end:])


def _rank(segment: str) -> int:
    """Lower is tried first: literal, mixed, with a constraint, without, rest of the path."""
    found = _PARAMETER.search(segment)
    if found is None:
        return 0
    if found["catch_all"]:
        return 4
    if found.group() != segment:
        return 1
    return 2 if found["constraint"] else 3
