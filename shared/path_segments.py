"""Dot segments: path segments that an HTTP library resolves before it sends a URL."""

import re


def has_dot_segments(path: str) -> bool:
    """Whether the path has a segment ``.`` or ``..``, so that its URL would be another path."""
    return not {".", ".."}.isdisjoint(re.split(r"[/\\]", path))
