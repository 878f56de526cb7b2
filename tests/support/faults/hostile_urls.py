"""Hostile upload URLs, by hand and by a seeded generator."""

import random
from collections.abc import Iterator

GOOD = "outlook.office.com"
EVIL = "evil.example"

_HOSTS = [
    GOOD,
    EVIL,
    *(f"{GOOD}.{EVIL}", f"{EVIL}.{GOOD}", f"x{GOOD}", f"{GOOD}x", f"{GOOD}.", f".{GOOD}"),
    *(
        f"{GOOD}@{EVIL}",
        f"{EVIL}@{GOOD}",
        f"u:p@{GOOD}",
        f"{GOOD}:443@{EVIL}",
        f"@{GOOD}",
        f":@{GOOD}",
    ),
    *(
        f"{GOOD}#@{EVIL}",
        f"{EVIL}#@{GOOD}",
        f"{GOOD}?@{EVIL}",
        f"{EVIL}?@{GOOD}",
        f"{EVIL}/@{GOOD}",
    ),
    *(f"{GOOD}\\@{EVIL}", f"{EVIL}\\@{GOOD}", f"{EVIL}\\.{GOOD}", f"{GOOD}\\.{EVIL}"),
    *(f"{GOOD}%2e{EVIL}", f"{GOOD}%00.{EVIL}", f"{GOOD}%2f@{EVIL}", f"{EVIL}%23{GOOD}"),
    *(f"{GOOD}%40{EVIL}", f"{EVIL}%40{GOOD}", "outlook%2eoffice%2ecom", "%6futlook.office.com"),
    *(f"{GOOD};{EVIL}", f"{GOOD},{EVIL}", f"{GOOD} {EVIL}", f"{GOOD}\t{EVIL}", f"{GOOD}\r\n{EVIL}"),
    *("\u043eutlook.office.com", "outlook\uff0eoffice\uff0ecom", "outlook.office\u3002com"),
    *(
        "outlook.o\ufb03ce.com",
        "outlook.office.\u212aom",
        "\u24d4vil.example",
        f"{GOOD}\u2024{EVIL}",
    ),
    *("xn--utlook-vmg.office.com", "OUTLOOK.OFFICE.COM", f"{GOOD}\u200b", f"\u00ad{GOOD}"),
    *("127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "127.1", "0", "127.0.0.1."),
    *("169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518"),
    *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]", "[fe80::1%25eth0]", "[::1", "::1"),
    *(
        "[::1]@" + GOOD,
        f"[{GOOD}]",
        f"[{EVIL}]",
        "localhost",
        "localhost.",
        "10.0.0.1",
        "168.63.129.16",
    ),
    *("", ".", "..", "-", "*", "*.office.com", f"{GOOD}/..//{EVIL}", "a" * 5_000 + f".{GOOD}"),
]
_SCHEMES = [
    *(
        "https",
        "HTTPS",
        "http",
        "ftp",
        "file",
        "gopher",
        "ws",
        "javascript",
        "data",
        "",
        "https:https",
    ),
    *("h\tttps", "https\r\n", " https", "http\u017f", "blob", "ldap", "dict"),
]
_SEPARATORS = ["://", "://", "://", "://", ":", ":/", ":///", ":\\\\", ":/\\", "//", ":////"]
_PORTS = [
    "",
    "",
    "",
    ":443",
    ":0443",
    ":80",
    ":8443",
    ":0",
    ":65536",
    ":-1",
    ":443x",
    ":",
    ":+443",
    ":4 43",
]
_PATHS = [
    "/api/v2.0/Users('a')/Messages('b')/AttachmentSessions('c')",
    *(
        "",
        "/",
        "//",
        f"//{EVIL}/x",
        f"/..//{EVIL}/",
        f"/\\{EVIL}",
        f"/@{EVIL}",
        f"/redirect?url={EVIL}",
    ),
    *(
        "/%2e%2e/",
        "/\r\nHost: evil.example\r\n\r\n",
        "/ HTTP/1.1",
        "/\x00",
        "/" + "a" * 4_000,
        "/\u20ac",
    ),
]


def upload_urls(draw: random.Random, count: int, token: str) -> Iterator[str]:
    """``count`` upload URLs, most of which would send bytes and a token to another host."""
    for number in range(count):
        if number < len(_HOSTS):
            yield f"https://{_HOSTS[number]}/x?authtoken={token}"
            continue
        url = (
            draw.choice(_SCHEMES if draw.random() < 0.5 else ["https"])
            + draw.choice(_SEPARATORS if draw.random() < 0.5 else ["://"])
            + draw.choice(_HOSTS)
            + draw.choice(_PORTS)
            + draw.choice(_PATHS)
            + f"?authtoken={token}"
        )
        if draw.random() < 0.3:
            at = draw.randrange(min(len(url), 40))
            odd = draw.choice(
                ["@", "\\", "/", "#", "?", "\x00", "\r\n", "%", " ", "\u202e", "[", ":"]
            )
            url = url[:at] + odd + url[at + draw.randrange(2) :]
        yield url
