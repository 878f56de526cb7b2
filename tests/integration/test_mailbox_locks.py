"""The rows that hold the locks of mailboxes, against a real Azurite and in memory."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count

import pytest
from azure.data.tables import TableServiceClient

from shared.errors import StorageUnavailable
from shared.storage.documents import DocumentTable
from shared.transfer.activities.mailbox_locks import TABLE, Lock, MailboxLocks, mailbox_key
from shared.transfer.activities.mailbox_queue import Limits, Use, Waiter
from tests.support.engine.clock import EPOCH, VirtualClock

LIMITS = Limits(at_once=4, window_bytes=1_000, window=timedelta(seconds=300))
_mailboxes = count(1)


@pytest.fixture
def mailbox() -> str:
    return f"box{next(_mailboxes)}@contoso.com"


def waiter(n: int) -> Waiter:
    since = EPOCH + timedelta(seconds=n)
    return Waiter(transfer_id=f"t{n}", item=f"i{n}", since=since, size=1)


def test_one_address_in_two_cases_is_one_mailbox(service: TableServiceClient, mailbox: str) -> None:
    """The limits are the mailbox's own."""
    locks = MailboxLocks(service, LIMITS, VirtualClock())
    for n in range(4):
        assert isinstance(locks.acquire(mailbox, waiter(n)), Lock)
    assert not isinstance(locks.acquire(mailbox.upper(), waiter(4)), Lock)


def test_several_apps_on_one_account_share_the_locks(
    service: TableServiceClient, mailbox: str
) -> None:
    """Sixteen threads of two apps: never more than four locks, and all forty get theirs."""
    clock = VirtualClock()
    apps = [MailboxLocks(service, LIMITS, clock) for _ in range(2)]
    most: list[int] = []
    held: set[int] = set()

    def work(n: int) -> bool:
        app = apps[n % 2]
        try:
            result = app.acquire(mailbox, waiter(n))
        except StorageUnavailable:
            # Too many others at the same moment: the activity comes back.
            return False
        if not isinstance(result, Lock):
            return False
        held.add(n)
        most.append(len(held))
        held.discard(n)
        while True:
            try:
                app.release(result, Use(f"t{n}", result.fence, sent=1))
            except StorageUnavailable:
                continue
            return True

    left = list(range(40))
    for _ in range(200):
        with ThreadPoolExecutor(16) as threads:
            done = list(threads.map(work, left))
        left = [n for n, over in zip(left, done, strict=True) if not over]
        if not left:
            break
    assert not left
    assert max(most) <= LIMITS.at_once


def test_a_foreign_row_is_an_error_and_no_free_lock(
    service: TableServiceClient, mailbox: str
) -> None:
    """It cannot be told who holds what."""
    locks = MailboxLocks(service, LIMITS, VirtualClock())
    locks.acquire(mailbox, waiter(1))
    rows, key = DocumentTable(service, TABLE), mailbox_key(mailbox)
    document = rows.read(key)
    assert document is not None
    rows.write(key, '{"holders": 1}', document.etag)
    with pytest.raises(StorageUnavailable, match="cannot be read"):
        locks.acquire(mailbox, waiter(2))
