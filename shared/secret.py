"""A credential that cannot be printed, logged or stored by accident."""

from typing import NoReturn


class Secret:
    """The text of a credential, which only ``reveal()`` returns.

    Printing, formatting and logging show ``shown`` instead. Pickling, copying and JSON fail.
    """

    __slots__ = ("_shown", "_text")

    def __init__(self, text: str, shown: str) -> None:
        self._text = text
        self._shown = shown

    def reveal(self) -> str:
        """The text, for the request that uses it and for the session store."""
        return self._text

    def __repr__(self) -> str:
        return f"<{self._shown}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} is a credential and is not serialised")
