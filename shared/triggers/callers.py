"""Who made a call, where callers sign in with Entra (App Service authentication)."""

import logging
from dataclasses import dataclass

import azure.functions as func

_LOG = logging.getLogger(__name__)

_ID = "X-MS-CLIENT-PRINCIPAL-ID"
_NAME = "X-MS-CLIENT-PRINCIPAL-NAME"


@dataclass(frozen=True, slots=True)
class Callers:
    """Logs who makes a call.

    Where sign-in is on, the platform sets both headers and removes any that a caller sent.
    Elsewhere anybody can send them: they are ignored.
    """

    signed_in: bool = False

    def log(self, call: str, req: func.HttpRequest) -> None:
        """Log who makes this call; nothing for the calls that need no sign-in."""
        if not self.signed_in or not (principal := _printable(req, _ID)):
            return
        named = {"principal_id": principal}
        _LOG.info("call %s by %s (%r)", call, principal, _printable(req, _NAME), extra=named)


def _printable(req: func.HttpRequest, header: str) -> str:
    value = str(req.headers.get(header, ""))
    return "".join(letter for letter in value if letter.isprintable())
