"""Access to a handler with a key: one key stands for Azure's function, host and system keys."""

import hmac

from aiohttp import web
from aiohttp.typedefs import Handler


def require_key(handler: Handler, key: str) -> Handler:
    """The handler behind the key, in ``x-functions-key`` or the query's ``code``: 401 without."""

    async def checked(request: web.Request) -> web.StreamResponse:
        given = request.headers.get("x-functions-key") or request.query.get("code", "")
        if not hmac.compare_digest(given.encode(), key.encode()):
            return web.Response(status=401)
        return await handler(request)

    return checked
