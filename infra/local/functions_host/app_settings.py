"""App settings as bindings refer to them: by name, or as ``%NAME%`` inside a text."""

import re
from collections.abc import Mapping

from infra.local.functions_host.errors import AppConfigError

_REFERENCE = re.compile(r"%([^%]+)%")


def setting(name: str, settings: Mapping[str, str]) -> str:
    """The setting's value.

    Raises :class:`AppConfigError` when it is missing or empty.
    """
    value = settings.get(name)
    if not value:
        raise AppConfigError(f"a binding needs the app setting {name}, which is missing or empty")
    return value


def resolved(text: str, settings: Mapping[str, str]) -> str:
    """The text with every ``%NAME%`` replaced by its setting; raises as :func:`setting` does."""
    return _REFERENCE.sub(lambda found: setting(found[1], settings), text)
