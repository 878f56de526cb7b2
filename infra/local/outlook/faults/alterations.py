"""False answers made of true ones: functions from an answer to an answer.

An answer that an alteration has nothing to say about is returned as it is.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from multidict import CIMultiDict

from infra.local.outlook.protocol.errors import GraphError
from infra.local.outlook.protocol.messages import Answer

Alteration = Callable[[Answer], Answer]


def with_header(name: str, value: str) -> Alteration:
    """The header in place of what the answer said there."""

    def altered(answer: Answer) -> Answer:
        headers = CIMultiDict(answer.headers)
        headers[name] = value
        return replace(answer, headers=headers)

    return altered


def without_header(name: str) -> Alteration:
    """No such header."""

    def altered(answer: Answer) -> Answer:
        headers = CIMultiDict(answer.headers)
        headers.popall(name, None)
        return replace(answer, headers=headers)

    return altered


def retry_at(seconds: int) -> Alteration:
    """`Retry-After` as an HTTP date, `seconds` after the answer's own `Date`."""

    def altered(answer: Answer) -> Answer:
        until = parsedate_to_datetime(answer.headers["Date"]) + timedelta(seconds=seconds)
        return with_header("Retry-After", format_datetime(until, usegmt=True))(answer)

    return altered


def failed(status: int) -> Alteration:
    """An error in place of whatever was answered."""

    def altered(answer: Answer) -> Answer:
        error = GraphError(status, "InternalServerError", "Failed after acceptance.").answer()
        headers = without_header("Location")(answer).headers
        headers.update(error.headers)
        return Answer(status, headers, error.body)

    return altered


def halved(answer: Answer) -> Answer:
    """Half of the body, well framed."""
    return replace(answer, body=answer.body[: len(answer.body) // 2])


def html(answer: Answer) -> Answer:
    """A proxy's page in place of the body, under the true status."""
    if not answer.body:
        return answer
    return replace(with_header("Content-Type", "text/html")(answer), body=b"<html>Wait.</html>")


def json_changed(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Alteration:
    """The JSON object of a 2xx answer, changed."""

    def altered(answer: Answer) -> Answer:
        if answer.status >= 300 or not answer.body:
            return answer
        return replace(answer, body=json.dumps(change(answer.json())).encode())

    return altered


def progress_changed(ranges_from: Callable[[int], list[str] | None]) -> Alteration:
    """The next expected ranges made anew from the true start; None leaves them out."""

    def change(body: dict[str, Any]) -> dict[str, Any]:
        spelling = next((key for key in body if key.lower() == "nextexpectedranges"), None)
        if spelling is None:
            return body
        told = ranges_from(int(body[spelling][0].partition("-")[0]))
        others = {key: value for key, value in body.items() if key != spelling}
        return others if told is None else others | {spelling: told}

    return json_changed(change)
