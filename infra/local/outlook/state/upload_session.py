"""An upload session: receives bytes in order, up to exactly the declared size.

Pure state; `Rules` decide what Microsoft's documentation does not.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from infra.local.outlook.protocol.byte_range import ByteRange
from infra.local.outlook.protocol.errors import GraphError, invalid_content_range
from infra.local.outlook.rules import Rules


@dataclass(frozen=True, kw_only=True)
class FileDescription:
    """What a client declares about a file, apart from its bytes."""

    name: str
    content_type: str | None = None
    is_inline: bool = False
    content_id: str | None = None


@dataclass(kw_only=True)
class UploadSession:
    """A file that is being uploaded.

    `target` is the path and query of the upload URL; a request must match every character.
    `immutable_ids` is the preference of the creator (`Prefer`). `expires_at` never changes: a range
    does not extend the session.
    """

    id: str
    mailbox: str
    item: str
    target: str
    description: FileDescription
    size: int
    immutable_ids: bool
    expires_at: datetime
    received: int = 0
    end: Literal["finished", "cancelled"] | None = None
    chunks: list[bytes] = field(default_factory=list, repr=False)
    _digest: Any = field(default_factory=hashlib.sha256, repr=False)

    def is_open(self, now: datetime) -> bool:
        """Whether it can still receive bytes."""
        return self.end is None and now < self.expires_at

    @property
    def authtoken(self) -> str:
        """The secret in the upload URL."""
        return self.target.rpartition("authtoken=")[2]

    @property
    def sha256(self) -> str:
        """The digest of the bytes received so far, in hex."""
        return str(self._digest.hexdigest())

    def append(self, body: bytes) -> bool:
        """Store the next bytes; true when the file is complete with them."""
        self.chunks.append(body)
        self._digest.update(body)
        self.received += len(body)
        return self.received == self.size

    def next_ranges(self, form: str) -> list[str]:
        """The next expected ranges, in the form of `Rules.next_range_form`."""
        tail = {"2097152": "", "2097152-": "-", "2097152-4194303": f"-{self.size - 1}"}[form]
        return [f"{self.received}{tail}"]


def check_declared_size(size: int, rules: Rules) -> None:
    """Refuse a session for a file that is too small or too large for one.

    Raises 400 or 413 (`docs/protocol.md`, "Which request for which size").
    """
    if size < rules.minimum_session_bytes:
        raise GraphError(
            400,
            "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize",
            f"Attachment size should not be less than {rules.minimum_session_bytes} bytes. Use "
            "the attachments collection for smaller files.",
        )
    if size > rules.maximum_attachment_bytes:
        raise GraphError(
            413,
            "ErrorAttachmentSizeLimitExceeded",
            f"The attachment size exceeds the limit of {rules.maximum_attachment_bytes} bytes.",
        )


def check_range(session: UploadSession, content_range: str | None, length: int) -> ByteRange:
    """The range of a PUT, if it matches the declared size and its own body.

    Raises 400 `InvalidContentRange`.
    """
    sent = ByteRange.parse(content_range)
    if sent is None:
        raise invalid_content_range(400, "Content-Range is missing or malformed.")
    if sent.total != session.size:
        message = f"The total {sent.total} is not the declared size {session.size}."
        raise invalid_content_range(400, message)
    if sent.length != length:
        message = f"The range has {sent.length} bytes, its body {length}."
        raise invalid_content_range(400, message)
    return sent


def is_repeated(session: UploadSession, sent: ByteRange, rules: Rules) -> bool:
    """Whether the range begins with bytes received before, and is to be ignored.

    Raises 416 for a gap, and 416 or 400 for a repeated range when the rules refuse it.
    """
    if sent.start > session.received:
        message = f"The next byte expected is {session.received}, not {sent.start}."
        raise invalid_content_range(416, message)
    if sent.start == session.received:
        return False
    if rules.repeated_range == "200":
        return True
    message = f"The bytes up to {session.received} were received before."
    raise invalid_content_range(int(rules.repeated_range), message)
