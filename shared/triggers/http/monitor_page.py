"""The monitor page: static files without data, served by name from a fixed set.

Anybody may load them. Their data comes from calls that need the key.
"""

import hashlib
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

import azure.functions as func

from shared.transfer.addressing import MAILBOX_PATTERN
from shared.triggers.http.responses import problem_response

_FOLDER = Path(__file__).parent / "monitor"
_PAGE = "index.html"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Cached, and validated by ETag each time: a new version shows at once.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    content_type: str
    etag: str

    @classmethod
    def read(cls, path: Path) -> "_File":
        # The page trims what is typed.
        pattern = rf"\s*{MAILBOX_PATTERN[1:-1]}\s*"
        content = path.read_bytes().replace(b"MAILBOX_PATTERN", escape(pattern).encode())
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        return cls(content, _TYPES[path.suffix], etag)


_FILES = {
    path.name: _File.read(path) for path in sorted(_FOLDER.iterdir()) if path.suffix in _TYPES
}
ASSETS = tuple(name for name in _FILES if name != _PAGE)


class MonitorPage:
    """The page and its assets. ``account_url`` is the storage account that the page may call."""

    def __init__(self, account_url: str) -> None:
        account = urlsplit(account_url)
        self._page_headers = {
            "Content-Security-Policy": _policy(f"{account.scheme}://{account.netloc}"),
            "Cross-Origin-Opener-Policy": "same-origin",
        }

    def page(self, req: func.HttpRequest) -> func.HttpResponse:
        """The page itself."""
        return _file_response(_FILES[_PAGE], req, self._page_headers)

    def asset(self, req: func.HttpRequest) -> func.HttpResponse:
        """The style, script or picture that the route names; 404 for any other name."""
        name = req.route_params["asset"]
        if name not in ASSETS:
            return problem_response(404, "NotFound", "The page has no such file.")
        return _file_response(_FILES[name], req, {})


def _policy(account_origin: str) -> str:
    """The page may run its own scripts, and call this app and that account. Nothing else."""
    rules = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": f"'self' {account_origin}",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        # Text from the API can never become markup, even if a script has a bug.
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _file_response(
    file: _File, req: func.HttpRequest, headers: dict[str, str]
) -> func.HttpResponse:
    headers = _HEADERS | headers | {"ETag": file.etag, "Content-Type": file.content_type}
    # A proxy that compresses the response marks the ETag as weak.
    known = str(req.headers.get("If-None-Match", "")).replace("W/", "").split(",")
    same = file.etag in (each.strip() for each in known)
    return func.HttpResponse(
        b"" if same else file.content,
        status_code=304 if same else 200,
        headers=headers,
        mimetype=file.content_type,
    )
