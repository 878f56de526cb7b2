"""The API conforms to its description, by a fuzzer that uses it."""

from collections import Counter
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from infra.local.stack import MAILBOXES, Stack
from shared.triggers.http.calls import CALLS
from tests.support.e2e.api import Api
from tests.support.figures import ReportLine

EXAMPLES = 60
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
FUZZING = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(240)
def test_a_fuzzer_finds_nothing_wrong(stack: Stack, report_line: ReportLine) -> None:
    """Every operation with all that its description allows: no 5xx, responses as described."""
    api = Api(stack)
    schema = schemathesis.openapi.from_dict(api.call("GET", "/openapi.json").json())
    statuses: Counter[int] = Counter()
    operations = [each.ok() for each in schema.get_all_operations()]  # type: ignore[union-attr]  # it is sound
    for operation in operations:

        @FUZZING
        @given(case=operation.as_strategy())
        def fuzz(case: schemathesis.Case[Any]) -> None:
            base = stack.info.functions_url
            answer = case.call(base_url=base, headers=api.key)
            statuses[answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS)

        fuzz()
    counts = ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items()))
    report_line(f"schemathesis: {statuses.total()} calls of {len(operations)} operations; {counts}")
    assert len(operations) == len(CALLS)
    assert statuses.total() >= 5 * EXAMPLES
    assert max(statuses) < 500
    assert {200, 404} <= set(statuses)


def test_valid_requests_get_responses_as_described(stack: Stack) -> None:
    """What a fuzzer does not find: requests for existing blobs, and their attachments."""
    api = Api(stack)
    schema = schemathesis.openapi.from_dict(api.call("GET", "/openapi.json").json())
    item = stack.outlook.add_item(MAILBOXES[0], "message")
    order = {"blob": api.put("openapi.pdf", b"x"), "mailbox": MAILBOXES[0], "messageId": item}

    def conforms(method: str, path: str, answer: requests.Response) -> None:
        parameters = {"id": id_} if "{id}" in path else {}
        case = schema[path][method].Case(path_parameters=parameters)
        case.validate_response(answer, checks=CHECKS)

    id_ = ""
    placed = api.request_transfer(**order)
    conforms("POST", "/api/transfers", placed)
    id_ = placed.json()["id"]
    api.ended(id_)
    conforms("POST", "/api/transfers", api.request_transfer(**order))
    several = {name: value for name, value in order.items() if name != "blob"}
    conforms(
        "POST", "/api/transfers", api.request_transfer(blobs=[order["blob"], "nope"], **several)
    )
    conforms("GET", "/api/transfers", api.call("GET", "/transfers"))
    conforms("GET", "/api/transfers/{id}", api.call("GET", f"/transfers/{id_}"))
    conforms("DELETE", "/api/transfers/{id}", api.call("DELETE", f"/transfers/{id_}"))
    path = "/api/transfers/{id}/attachment"
    conforms("GET", path, api.call("GET", f"/transfers/{id_}/attachment"))
    content = api.call("GET", f"/transfers/{id_}/attachment/content")
    conforms("GET", f"{path}/content", content)
    conforms("DELETE", path, api.call("DELETE", f"/transfers/{id_}/attachment"))
    file = {"fileName": "x.pdf", "size": 1, "mailbox": MAILBOXES[0], "messageId": item}
    conforms("POST", "/api/uploads", api.call("POST", "/uploads", json=file))
    conforms("GET", "/api/health/ready", api.call("GET", "/health/ready"))
