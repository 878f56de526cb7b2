"""Changes of true responses: functions from a response to a response.

A response that an alteration does not apply to is returned unchanged.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from multidict import CIMultiDict

from infra.local.outlook.protocol.errors import GraphError
from infra.local.outlook.protocol.messages import Response

Alteration = Callable[[Response], Response]


def with_header(name: str, value: str) -> Alteration:
    """Set a header, in place of the one in the response."""

    def altered(response: Response) -> Response:
        headers = CIMultiDict(response.headers)
        headers[name] = value
        return replace(response, headers=headers)

    return altered


def without_header(name: str) -> Alteration:
    """Remove a header."""

    def altered(response: Response) -> Response:
        headers = CIMultiDict(response.headers)
        headers.popall(name, None)
        return replace(response, headers=headers)

    return altered


def retry_at(seconds: int) -> Alteration:
    """`Retry-After` as an HTTP date, `seconds` after the response's own `Date`."""

    def altered(response: Response) -> Response:
        until = parsedate_to_datetime(response.headers["Date"]) + timedelta(seconds=seconds)
        return with_header("Retry-After", format_datetime(until, usegmt=True))(response)

    return altered


def failed(status: int) -> Alteration:
    """An error in place of the response."""

    def altered(response: Response) -> Response:
        error = GraphError(status, "InternalServerError", "Failed after acceptance.").answer()
        headers = without_header("Location")(response).headers
        headers.update(error.headers)
        return Response(status, headers, error.body)

    return altered


def halved(response: Response) -> Response:
    """Half of the body, with the right `Content-Length`."""
    return replace(response, body=response.body[: len(response.body) // 2])


def html(response: Response) -> Response:
    """A proxy's HTML page in place of the body, with the true status."""
    if not response.body:
        return response
    return replace(with_header("Content-Type", "text/html")(response), body=b"<html>Wait.</html>")


def body_changed(change: Callable[[bytes], bytes]) -> Alteration:
    """Change the bytes of a 2xx response."""

    def altered(response: Response) -> Response:
        if response.status >= 300 or not response.body:
            return response
        return replace(response, body=change(response.body))

    return altered


def keys_changed(change: Callable[[str], str]) -> Alteration:
    """Change the keys of every JSON object in a response of any status."""

    def spelled(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {change(key): value for key, value in pairs}

    def altered(response: Response) -> Response:
        if not response.body:
            return response
        body = json.loads(response.body, object_pairs_hook=spelled)
        return replace(response, body=json.dumps(body).encode())

    return altered


def json_changed(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Alteration:
    """Change the JSON object of a 2xx response."""

    def altered(response: Response) -> Response:
        if response.status >= 300 or not response.body:
            return response
        return replace(response, body=json.dumps(change(response.json())).encode())

    return altered


def progress_changed(ranges_from: Callable[[int], list[str] | None]) -> Alteration:
    """Next expected ranges computed from the true start; None removes them."""

    def change(body: dict[str, Any]) -> dict[str, Any]:
        sent_key = next((key for key in body if key.lower() == "nextexpectedranges"), None)
        if sent_key is None:
            return body
        ranges = ranges_from(int(body[sent_key][0].partition("-")[0]))
        others = {key: value for key, value in body.items() if key != sent_key}
        return others if ranges is None else others | {sent_key: ranges}

    return json_changed(change)
