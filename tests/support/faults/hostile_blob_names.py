"""Hostile blob names, by hand and by a seeded generator."""

import random
from collections.abc import Iterator

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
    """``count`` blob names, most of which would reach another container or mailbox."""
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
