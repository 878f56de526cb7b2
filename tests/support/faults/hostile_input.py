"""Hostile upload URLs and blob names, by hand and by a seeded generator."""

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
    """``count`` upload URLs that want bytes, and a token, to go astray; some are good."""
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


_SEGMENTS = [
    *(
        "..",
        ".",
        "...",
        "%2e%2e",
        "%2E%2e",
        ".%2e",
        "%252e%252e",
        "..%2f..",
        "%2f",
        "%5c..%5c",
        "..\\..",
    ),
    *(
        "",
        " ",
        "%20",
        "%00",
        "%0d%0aHost:%20evil.example",
        "a\tb",
        "\x7f",
        "%e2%80%ae",
        "\u202e",
        "%ff",
    ),
    *(
        "messages",
        "events",
        "users",
        "me",
        "attachments",
        "$value",
        "$batch",
        "createUploadSession",
    ),
    *(
        "a@contoso.com",
        "A@CONTOSO.COM",
        "a@contoso.com%2fmessages",
        "a@contoso.com?x=1",
        "a#b",
        "a;b",
    ),
    *(
        "AAMk=",
        "AAMk%2Fx%2B",
        "AAMk')/Attachments('x",
        "M?$expand=attachments",
        "M%3f$select=id",
        "M&x=1",
    ),
    *(
        "https:",
        "https:%2f%2fevil.example",
        "//evil.example",
        "evil.example",
        "@evil.example",
        "\\\\evil",
    ),
    *(
        "http://169.254.169.254",
        "file:",
        "C:",
        "~",
        "-",
        "*",
        "{id}",
        "%7bid%7d",
        "\u0131",
        "\uff0f",
        "\u2215",
    ),
    *(
        "x" * 300,
        "%" * 30,
        "+",
        "a b",
        "\u00e9",
        "e\u0301",
        "\U0001f4ce",
        "name.pdf",
        "%u002e",
        "%c0%ae%c0%ae",
    ),
]


_MAILBOXES = [
    *(
        "a@contoso.com",
        "A@CONTOSO.COM",
        "o'brien@contoso.com",
        "a+b@contoso.com",
        "a%40contoso.com",
    ),
    *(
        "#ext#@contoso.com",
        "72aa88bf-76f0-494f-91ab-2d7cd730db47",
        "a@contoso.com.",
        "%61@contoso.com",
    ),
]


def blob_names(draw: random.Random, count: int) -> Iterator[str]:
    """``count`` blob names that want to leave their container or their mailbox."""
    for number in range(count):
        if number < len(_SEGMENTS):
            yield _SEGMENTS[number]
            continue
        if draw.random() < 0.6:
            kind = draw.choice(["messages", "events"])
            mailbox = draw.choice(_SEGMENTS if draw.random() < 0.2 else _MAILBOXES)
            parts = [mailbox, kind, draw.choice(_SEGMENTS), draw.choice(_SEGMENTS)]
        else:
            parts = [draw.choice(_SEGMENTS) for _ in range(draw.randint(1, 7))]
        name = draw.choice(["", "", "", "/", "//", "./"]) + "/".join(parts)
        if draw.random() < 0.2:
            at = draw.randrange(len(name) + 1)
            name = (
                name[:at] + draw.choice(["\x00", "\r\n", "\\", "%", "?", "#", "\ud800"]) + name[at:]
            )
        yield name[:1_024]
