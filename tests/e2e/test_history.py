"""The purge of the history, in the whole stack."""

import requests

from infra.local.stack import Stack
from tests.support.e2e.api import Api


def test_the_nightly_purge_leaves_what_is_young(stack: Stack) -> None:
    """Run as an administrator runs it: a transfer of today is still there."""
    api = Api(stack)
    mailbox, (message, _) = next(iter(stack.items.items()))
    api.put("history.txt", b"today", mailbox=mailbox, messageid=message)
    id_ = api.record("history.txt")["attachmenttransfer"]
    url = f"{stack.info.functions_url}/admin/functions/purge_history"
    answer = requests.post(url, headers=api.key, json={"input": ""}, timeout=30)
    assert answer.status_code == 202
    assert api.transfer(id_)["state"] in {"recording", "attached"}
