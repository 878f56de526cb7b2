"""Names that an HTTP library would not send as they are."""

import re


def has_dot_segments(path: str) -> bool:
    """Whether ``.`` or ``..`` is a segment of the path: the URL would point somewhere else."""
    return not {".", ".."}.isdisjoint(re.split(r"[/\\]", path))
