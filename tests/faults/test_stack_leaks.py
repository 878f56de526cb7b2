"""Figure 7 on the local stack: no secret in the output of its worker and its host."""

import logging
import random
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
import requests

from infra.local.drop import Dropped, drop, source_container
from infra.local.outlook import Fault, Kind, Misbehaviour, OutlookEmulator, catalogue
from infra.local.outlook.protocol.errors import GraphError
from infra.local.outlook.protocol.messages import Response as Answer
from infra.local.stack import MAILBOXES, Stack
from infra.local.stack_info import StackInfo
from tests.support.waiting import until

R = 1_000_000
SMALL, LARGE = 900, 3_200_000
PIECE = 20
FORMS = ("unchanged", "partly encoded", "encoded", "cut")
SETTINGS = {"RANGE_BYTES": str(R), "RANGES_PER_ACTIVITY": "2", "RECONCILE_SECONDS": "2"}
# The worker prints these first: a search that finds no other secret must find them.
PLANTED = {"stdout": "eyJplanted+in/stdout=", "stderr": "eyJplanted+in/stderr="}
PLANT = "import sys\n" + "".join(
    f"print('worker:', {canary!r}, file=sys.{stream})\n" for stream, canary in PLANTED.items()
)
# In the order of the large file's requests; the first is for the small file's POST.
FAULTS: list[tuple[Kind, Misbehaviour]] = [
    ("small_post", catalogue.lost_answer("reset")),
    ("list", catalogue.refused(500)),
    ("create", catalogue.cut_answer("close")),
    ("create", catalogue.throttled("1")),
    ("range", catalogue.failed_after_acceptance(502)),
    ("range", catalogue.range_refused(416)),
    ("range", catalogue.session_gone(410)),
    ("session_state", catalogue.not_json()),
    ("last_range", catalogue.lost_answer("close")),
]


def found(secrets: list[str], text: str) -> list[str]:
    """The secrets of which a piece is in the text, percent-encoded or not."""
    texts = (text, unquote(text))
    return [
        secret
        for secret in secrets
        if any(piece in one for piece in pieces(secret) for one in texts)
    ]


def pieces(secret: str) -> list[str]:
    """All its pieces of a significant length, since the output may be truncated."""
    return [secret[at : at + PIECE] for at in range(max(1, len(secret) - PIECE + 1))]


def cut(secret: str) -> str:
    """The secret without its first and last characters."""
    return secret[3:-3]


def schedule(outlook: OutlookEmulator) -> None:
    """Apply the nth fault of a kind to the nth request of that kind."""
    outlook.clear()
    met: dict[Kind, int] = {}
    for kind, misbehaviour in FAULTS:
        met[kind] = met.get(kind, 0) + 1
        fault = Fault(misbehaviour=misbehaviour, kind=kind, occurrence=met[kind])
        outlook.faults.add(fault)


def quoting_refusal(outlook: OutlookEmulator) -> Misbehaviour:
    """A permanent refusal that quotes the upload URL of the request."""

    def quote_url(_: Answer) -> Answer:
        # Short enough that the token is not truncated.
        url = f"https://outlook.example/?authtoken={outlook.open_sessions()[0].authtoken}"
        return GraphError(403, "ErrorAccessDenied", f"{url} is not yours").answer()

    return Misbehaviour(name="quotes", kinds=frozenset({"range"}), alteration=quote_url)


def drop_file(stack: Stack, name: str, size: int) -> Dropped:
    item = stack.outlook.add_item(MAILBOXES[0], "message")
    content = random.Random(name).randbytes(size)
    to = f"{MAILBOXES[0]}/messages/{item}"
    return drop(stack.info, content, name, to, "application/pdf")


def status_of(info: StackInfo, dropped: Dropped) -> str:
    """The status in the blob's record, once there is one."""
    blob = source_container(info).get_blob_client(dropped.blob)
    return until(
        lambda: blob.get_blob_properties().metadata.get("attachmentstatus"),
        f"the record of {dropped.blob}",
    )


def send_files(stack: Stack) -> list[Dropped]:
    """Send a small and a large file despite every fault, and one that is refused."""
    info, outlook = stack.info, stack.outlook
    schedule(outlook)
    attached = [drop_file(stack, "small.pdf", SMALL), drop_file(stack, "large.pdf", LARGE)]
    assert [status_of(info, each) for each in attached] == ["attached", "attached"]
    assert not outlook.faults.unfired
    outlook.clear()
    outlook.faults.add(Fault(misbehaviour=quoting_refusal(outlook), kind="range"))
    refused = drop_file(stack, "refused.pdf", LARGE)
    assert status_of(info, refused) == "failed"
    return [*attached, refused]


def secrets_of(stack: Stack) -> list[str]:
    """All credentials of the stack."""
    info = stack.info
    account_key = info.blob_connection_string.partition("AccountKey=")[2].partition(";")[0]
    return [*stack.outlook.secrets(), info.function_key, account_key]


def responses_about(stack: Stack, sent: list[Dropped]) -> str:
    """Every response of the HTTP API about the files, with its headers."""
    url, key = stack.info.functions_url, {"x-functions-key": stack.info.function_key}
    paths = [f"/{each.transfer_id}{part}" for each in sent for part in ("", "/attachment")]
    responses = [
        requests.get(f"{url}/api/transfers{path}", headers=key, timeout=20) for path in ("", *paths)
    ]
    assert all(each.transfer_id in responses[0].text for each in sent)
    return "\n".join(f"{each.headers} {each.text}" for each in responses)


def test_no_secret_is_in_what_the_stack_prints(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Files are sent despite many faults; the log has their transfers, but no token or key."""
    caplog.set_level(logging.DEBUG, logger="infra")
    (tmp_path / "sitecustomize.py").write_text(PLANT)
    log = tmp_path / "worker.log"
    settings = SETTINGS | {"PYTHONPATH": str(tmp_path)}
    with log.open("wb") as file, Stack(settings=settings, log=file.fileno()) as stack:
        with_key = {"code": stack.info.function_key}
        assert requests.get(f"{stack.info.functions_url}/api/x", with_key, timeout=5).status_code
        sent = send_files(stack)
        responses = responses_about(stack, sent)
        secrets = secrets_of(stack)
        uploads = len(stack.outlook.sessions())
    printed = "\n".join([log.read_text(), *capfd.readouterr(), caplog.text])
    assert all(each.transfer_id in printed for each in sent)
    assert "<secret>" in printed
    assert uploads >= 3
    assert len(secrets) > uploads + 3
    assert not found(secrets, printed)
    assert not found(secrets, responses)
    assert found(list(PLANTED.values()), printed) == list(PLANTED.values())


@pytest.mark.parametrize("form", ["{}", "https://x/?authtoken={}&y", "'Bearer {}'", "\x1b[1m{}\n"])
@pytest.mark.parametrize("change", [str, quote, lambda text: quote(text, safe=""), cut], ids=FORMS)
def test_the_search_finds_a_secret_in_any_form(form: str, change: Callable[[str], str]) -> None:
    """Raw or percent-encoded, complete or cut, alone or in other text."""
    for secret in ("eyJ0eXAi.aB-_9cSI6IktmYUNIj5eueh46", "Eby8vdM0/2xN+cqFXFsuFq2UVErCz4I6tq/K1=="):
        assert found([secret, "absent"], form.format(change(secret))) == [secret]
