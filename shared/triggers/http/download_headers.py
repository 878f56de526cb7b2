"""The headers of a download, safe for any name and content type of an attachment.

Written here because the libraries do less: ``email`` writes a parameter either plainly or encoded,
where old clients need both, and neither it nor Werkzeug removes line breaks.
"""

import re
import unicodedata
from pathlib import PurePosixPath
from urllib.parse import quote

from shared.transfer.addressing import safe_file_name

_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_CONTENT_TYPE = re.compile(rf"{_NAME}/{_NAME}")
_ANY_TYPE = "application/octet-stream"
# A browser must never show the content as a page of this host.
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "sandbox; default-src 'none'",
}


def download_headers(file_name: str, content_type: str) -> dict[str, str]:
    """The headers of a download, except its length."""
    return {
        "Content-Type": safe_content_type(content_type),
        "Content-Disposition": content_disposition(file_name),
        **_SAFE,
    }


def content_disposition(file_name: str) -> str:
    """A download with this name, made safe (RFC 6266): in full, and in ASCII for old clients."""
    name = safe_file_name(file_name)
    # quote() encodes everything that RFC 8187 requires, and some more.
    return f"attachment; filename=\"{_in_ascii(name)}\"; filename*=UTF-8''{quote(name, safe='')}"


def safe_content_type(content_type: str) -> str:
    """The type without parameters if it is well formed, otherwise that of unknown bytes."""
    type_ = content_type.partition(";")[0].strip()
    return type_ if _CONTENT_TYPE.fullmatch(type_) else _ANY_TYPE


def _in_ascii(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    # Decomposition can produce a separator or a quote. Some clients decode percent escapes.
    plain = safe_file_name(plain).replace("%", "_")
    suffix = PurePosixPath(name).suffix
    # At most the extension is left of such a name.
    return f"attachment{plain}" if suffix and plain == suffix else plain
