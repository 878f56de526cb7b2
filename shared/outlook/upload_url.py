"""The upload URL: a credential that is not printed or sent to another host by accident."""

import json
import re
from contextlib import suppress

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from shared.errors import UploadHostNotAllowed
from shared.outlook.clouds import GraphEndpoint
from shared.secret import Secret
from shared.settings import is_loopback

# Parsers disagree about backslashes, spaces and control characters; no URL of Outlook has any.
_PLAIN = re.compile(r"[!-\[\]-~]+", re.ASCII)
# A whole URL in JSON or HTML, with any escapes; one that is cut off has nothing after it.
_QUOTED = re.compile(rb"https?:(?:\\?/){2}[^\"<>\s]+(?=[\"<>\s])", re.IGNORECASE)


class UploadUrl(Secret):
    """A checked upload URL; its text form is the host only."""

    __slots__ = ("host",)

    def __init__(self, text: str, endpoint: GraphEndpoint) -> None:
        """Check the URL against the endpoint's hosts.

        Raises :class:`UploadHostNotAllowed` unless it is https on port 443 without user
        information, on a host of the list (or on loopback, if Graph's own URL is).
        """
        self.host = _checked_host(text, endpoint)
        super().__init__(text, f"upload URL at {self.host}")


def find_upload_urls(content: bytes, endpoint: GraphEndpoint) -> list[UploadUrl]:
    """The URLs of upload sessions in the text of a response that is not valid JSON.

    URLs of Graph's own, which such a response also contains, are left out.
    """
    found: dict[str, UploadUrl] = {}
    for match in _QUOTED.finditer(content):
        text = _unescaped(match[0].decode("utf-8", "replace"))
        if not text.lower().startswith(endpoint.root.lower()):
            with suppress(UploadHostNotAllowed):
                found[text] = UploadUrl(text, endpoint)
    return list(found.values())


def _unescaped(text: str) -> str:
    with suppress(ValueError):
        text = str(json.loads(f'"{text}"'))
    return text.replace("&amp;", "&")


def _checked_host(text: str, endpoint: GraphEndpoint) -> str:
    try:
        url = parse_url(text if _PLAIN.fullmatch(text) else "")
    except LocationParseError:
        url = parse_url("")
    host = (url.host or "").lower()
    if url.auth is None and host:
        if url.scheme == "https" and url.port in {None, 443} and host in endpoint.upload_hosts:
            return host
        web = url.scheme in {"http", "https"}
        if web and endpoint.loopback_uploads and is_loopback(host.strip("[]")):
            return host
    # The host is untrusted text: the message repeats only what a host may contain.
    named = re.sub(r"[^a-z0-9.:-]", "", host)[:255] or "(none)"
    raise UploadHostNotAllowed(
        f"Graph returned an upload URL on host {named}, which is not allowed; nothing was sent "
        "there. If it is a genuine host of Microsoft's, add it to the app setting UPLOAD_HOSTS."
    )
