"""No file name and no content type breaks the headers of a download."""

import re
from email import message_from_string
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.transfer.addressing import safe_file_name
from shared.triggers.http.download_headers import (
    content_disposition,
    download_headers,
    safe_content_type,
)

# Quoted without backslash or quote, then encoded (RFC 6266, RFC 8187): nothing else.
_FORM = re.compile(
    r"attachment; filename=\"([ !#-\[\]-~]+)\"; filename\*=UTF-8''([A-Za-z0-9_.~%-]+)"
)
_NASTY = st.text(st.sampled_from("a.\r\n\0\"'\\/;=%4\u202e\u2066\uff0f\uff02\u2100\ud800é😀 "))


@given(st.text() | _NASTY)
@example("")
@example("x.pdf\r\nSet-Cookie: a=b")
@example('a"; filename="b.exe')
@example("\u202efdp.exe")
@example("..\\..\\autoexec.bat")
@example("x" * 300 + ".pdf")
@example("😀" * 300)
def test_no_name_breaks_the_header(name: str) -> None:
    """One header of the one form, in ASCII, whose names hold no path and are the safe name."""
    header = content_disposition(name)
    form = _FORM.fullmatch(header)
    assert form
    assert unquote(form[2], errors="strict") == safe_file_name(name)
    assert not {"/", "\\", '"', "%"} & set(form[1])
    assert len(header) < 4_096
    read = message_from_string(f"Content-Disposition: {header}\n\n")
    assert (read.keys(), read.get_content_disposition()) == (["Content-Disposition"], "attachment")


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("report.pdf", "report.pdf"),
        ("Müller & Söhne.pdf", "Muller & Sohne.pdf"),
        ("отчёт.pdf", "attachment.pdf"),
        ("😀", "attachment"),
        ("", "attachment"),
        ("100%41.txt", "100_41.txt"),
        ("a\u2100b\uff02.txt", "aa_cb_.txt"),
        (".profile", ".profile"),
    ],
)
def test_old_clients_get_a_readable_name(name: str, plain: str) -> None:
    """As much of the name as ASCII can say, and its extension in any case."""
    assert content_disposition(name).startswith(f'attachment; filename="{plain}"; ')


@pytest.mark.parametrize(
    ("type_", "safe"),
    [
        ("application/pdf", "application/pdf"),
        ("text/plain; charset=utf-8", "text/plain"),
        (" image/svg+xml ", "image/svg+xml"),
        ("application/vnd.ms-excel.sheet.macroEnabled.12",) * 2,
        ("", "application/octet-stream"),
        ("pdf", "application/octet-stream"),
        ("text/html\r\nSet-Cookie: a=b", "application/octet-stream"),
        ("text/html\n", "text/html"),
        ("a/b/c", "application/octet-stream"),
        ("täxt/plain", "application/octet-stream"),
        (f"{'x' * 200}/y", "application/octet-stream"),
    ],
)
def test_only_a_well_formed_type_is_passed_on(type_: str, safe: str) -> None:
    """Anything else becomes the type of unknown bytes."""
    assert safe_content_type(type_) == safe


@given(st.text())
def test_no_type_breaks_the_header(type_: str) -> None:
    """Printable ASCII without blanks comes out for any input."""
    assert re.fullmatch(r"[!-~]+/[!-~]+", safe_content_type(type_))


def test_a_download_is_never_shown_as_a_page() -> None:
    """A browser saves it, does not guess its type, and runs nothing of it."""
    assert download_headers("a.html", "text/html") == {
        "Content-Type": "text/html",
        "Content-Disposition": "attachment; filename=\"a.html\"; filename*=UTF-8''a.html",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
