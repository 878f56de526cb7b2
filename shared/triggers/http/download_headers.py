"""The headers of a download: whatever an attachment is called, and says it is, stays harmless.

The standard library's ``email`` writes a parameter either plainly or encoded, where old clients
need both; and neither it nor Werkzeug keeps line breaks out.
"""

import re
import unicodedata
from pathlib import PurePosixPath
from urllib.parse import quote

from shared.transfer.addressing import safe_file_name

_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_CONTENT_TYPE = re.compile(rf"{_NAME}/{_NAME}")
_ANY_TYPE = "application/octet-stream"
# A browser shows nothing of it as a page of this host, whatever is in it.
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "sandbox; default-src 'none'",
}


def download_headers(file_name: str, content_type: str) -> dict[str, str]:
    """All headers that a download needs beside its length."""
    return {
        "Content-Type": safe_content_type(content_type),
        "Content-Disposition": content_disposition(file_name),
        **_SAFE,
    }


def content_disposition(file_name: str) -> str:
    """A download under this name (RFC 6266), made safe: as it is, and in ASCII for old clients."""
    name = safe_file_name(file_name)
    # RFC 8187's characters are those that quote() leaves alone, and more.
    return f"attachment; filename=\"{_in_ascii(name)}\"; filename*=UTF-8''{quote(name, safe='')}"


def safe_content_type(content_type: str) -> str:
    """The type without its parameters if it is well formed, else the type of any bytes."""
    type_ = content_type.partition(";")[0].strip()
    return type_ if _CONTENT_TYPE.fullmatch(type_) else _ANY_TYPE


def _in_ascii(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    # What was decomposed can be a separator or a quote. Some clients decode percent escapes.
    plain = safe_file_name(plain).replace("%", "_")
    suffix = PurePosixPath(name).suffix
    # A name with nothing left of it but its extension, or less.
    return f"attachment{plain}" if suffix and plain == suffix else plain
