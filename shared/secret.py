"""A credential as text that can be used, but not shown or kept by accident."""

from typing import NoReturn


class Secret:
    """The text of a credential. ``reveal()`` is the one way to it.

    Printing, formatting and logging show ``shown`` alone; pickling, copying and JSON are refused.
    """

    __slots__ = ("_shown", "_text")

    def __init__(self, text: str, shown: str) -> None:
        self._text = text
        self._shown = shown

    def reveal(self) -> str:
        """The text itself, for the request that needs it and for the session store."""
        return self._text

    def __repr__(self) -> str:
        return f"<{self._shown}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} is a credential and is not serialised")
