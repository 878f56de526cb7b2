"""Connections to Graph and Outlook: targets as they came, a total time, proxies and CA bundles."""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from http.cookiejar import DefaultCookiePolicy
from threading import Timer
from typing import Any, Self
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from shared.settings import is_loopback

CONNECTIONS = 32
# As `requests` reads them, then OpenSSL's own.
_CA_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


class NeverSent(Exception):
    """Raised when no byte of a request was sent: no proxy, no host, no TLS, no CA bundle."""


class Exchange:
    """One request and its response, for at most ``seconds`` in all.

    The timeouts of the HTTP library are between two bytes. After the time, the socket is shut
    down, so that every read and write of it fails. As a context manager it is the exchange of
    the thread's next request.
    """

    def __init__(self, url: str, seconds: float) -> None:
        self.target = _target(url)
        self.was_sent = False
        self.has_expired = False
        self._deadline = time.monotonic() + seconds
        self._connection: HTTPConnection | None = None
        self._sock: Any = None
        self._timer: Timer | None = None

    def __enter__(self) -> Self:
        self._token = _CURRENT.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _CURRENT.reset(self._token)
        if self._timer is not None:
            self._timer.cancel()

    def watch(self, connection: HTTPConnection) -> None:
        """End the exchange on this connection when its time is over."""
        self._connection = connection
        if self._timer is None:
            self._timer = Timer(max(0.0, self._deadline - time.monotonic()), self._expire)
            self._timer.daemon = True
            self._timer.start()

    def begin(self, connection: HTTPConnection) -> None:
        """Note that the request's bytes are about to be sent on this connection.

        Raises the HTTP library's timeout if the connection took all of the time.
        """
        self.watch(connection)
        self._sock = connection.sock
        if self.has_expired:
            raise urllib3.exceptions.ConnectTimeoutError("the time is over")
        self.was_sent = True

    def check(self) -> None:
        """Raise the HTTP library's timeout if the time is over: the end may be a broken one."""
        if self.has_expired:
            raise requests.ReadTimeout

    def _expire(self) -> None:
        self.has_expired = True
        # A response that closes the connection keeps the socket, and the connection does not.
        sock = self._sock or (self._connection and self._connection.sock)
        while sock is not None and not isinstance(sock, socket.socket):
            sock = getattr(sock, "socket", None)
        if sock is not None:
            with suppress(OSError):
                # The method of a TLS socket would first remove what another thread is using.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


_CURRENT: ContextVar[Exchange] = ContextVar("exchange")


def _target(url: str) -> str:
    """All after the host, byte for byte; a fragment is never sent."""
    rest = url.partition("://")[2].partition("#")[0]
    start = min((i for i in map(rest.find, "/?") if i >= 0), default=len(rest))
    target = rest[start:]
    return target if target.startswith("/") else f"/{target}"


class _Connection(HTTPConnection):
    """Sends the exchange's own target: the library would rewrite its escapes."""

    def connect(self) -> None:
        _CURRENT.get().watch(self)
        super().connect()

    def request(self, method: str, url: str, *rest: Any, **more: Any) -> None:  # noqa: ARG002
        if self.is_closed:
            self.connect()
        exchange = _CURRENT.get()
        exchange.begin(self)
        super().request(method, exchange.target, *rest, **more)


class _TlsConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS: dict[str, type] = {"http": _Pool, "https": _TlsPool}


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        _use_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        _use_pools(manager)
        return manager

    def send(
        self, request: requests.PreparedRequest, *arguments: Any, **options: Any
    ) -> requests.Response:
        """Send one request.

        Raises :class:`NeverSent` if it failed before its first byte.
        """
        try:
            return super().send(request, *arguments, **options)
        except (OSError, ValueError, urllib3.exceptions.HTTPError):
            if _CURRENT.get().was_sent:
                raise
            # Without the library's text, which contains the URL.
            raise NeverSent from None


def _use_pools(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = _POOLS


def http_session(verify: str | bool) -> requests.Session:
    """A session that adds no credential to any request and retries nothing."""
    session = requests.Session()
    # No netrc entry and no cookie may add a credential to a pre-authenticated URL. Proxies and CA
    # bundles of the environment come from `environment`.
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.verify = verify
    adapter = _Adapter(pool_maxsize=CONNECTIONS, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def environment(url: str, verify: Any) -> Mapping[str, Any]:
    """The proxies for a URL and the CA bundle, as the environment variables say.

    The loopback has no proxy. Another ``verify`` than True comes first.
    """
    loopback = is_loopback(urlsplit(url).hostname or "")
    bundle = next((path for name in _CA_BUNDLES if (path := os.environ.get(name))), None)
    return {
        "proxies": {} if loopback else get_environ_proxies(url),
        "verify": bundle or True if verify is True else verify,
    }
