"""Files for transfers through a :class:`Harness`."""

import hashlib

from infra.local.outlook import ItemKind, Rules
from tests.support.harness import Harness
from tests.support.virtual_app import MAILBOX

BLOB = "in/report.pdf"
# Bytes of a range.
R = 1_000_000
# A POST of more than a few lines is refused, so that small files are sent by sessions, too.
ONLY_SESSIONS = Rules(maximum_post_bytes=2_000, minimum_session_bytes=1)


def content_of(size: int) -> bytes:
    """Content of this size, the same each time."""
    block = hashlib.sha256(str(size).encode()).digest()
    return (block * (size // len(block) + 1))[:size]


def put_for_new_item(harness: Harness, kind: ItemKind, content: bytes, **metadata: str) -> str:
    """Upload :data:`BLOB` for a new item; the item's id."""
    item = harness.emulator.add_item(MAILBOX, kind)
    harness.put(BLOB, content, **{"mailbox": MAILBOX, f"{kind}id": item, **metadata})
    return item
