"""Who may call: one key stands for every function, host and system key of Azure."""

import hmac

from aiohttp import web


def holds_key(request: web.Request, key: str) -> bool:
    """Whether the request carries the key, in ``x-functions-key`` or in the query's ``code``."""
    given = request.headers.get("x-functions-key") or request.query.get("code", "")
    return hmac.compare_digest(given.encode(), key.encode())
