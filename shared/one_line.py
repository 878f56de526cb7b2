"""Text as one line, for logs and sentences that quote what others have written."""

import unicodedata


def one_line(text: str) -> str:
    """The text with control characters and Unicode's line breaks as Python's escapes."""
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"}:
        return character
    return character.encode("unicode_escape").decode()
