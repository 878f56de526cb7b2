"""The purge of the history, on the local stack."""

import requests

from infra.local.stack import Stack
from tests.support.e2e.api import Api


def test_the_nightly_purge_keeps_young_transfers(stack: Stack) -> None:
    """Run as an administrator runs it: a transfer of today stays."""
    api = Api(stack)
    mailbox, (message, _) = next(iter(stack.items.items()))
    api.put("history.txt", b"today", mailbox=mailbox, messageid=message)
    id_ = api.record("history.txt")["attachmenttransfer"]
    url = f"{stack.info.functions_url}/admin/functions/purge_history"
    response = requests.post(url, headers=api.key, json={"input": ""}, timeout=30)
    assert response.status_code == 202
    assert api.transfer(id_)["state"] in {"recording", "attached"}
