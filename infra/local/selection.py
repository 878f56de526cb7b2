"""What a user of ``drop`` names: files, folders, patterns and metadata."""

import glob
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from infra.local.errors import UsageError

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class ChosenFile:
    """A file, and its name among the files that are dropped together, with ``/`` for folders."""

    path: Path
    name: str


def chosen_files(arguments: Iterable[str]) -> list[ChosenFile]:
    """The files that the arguments name, each once: files, all files of folders, and patterns.

    Hidden files of folders are left out. Raises :class:`UsageError` for what names no file that
    can be read.
    """
    found: dict[Path, ChosenFile] = {}
    for argument in arguments:
        for chosen in _files_of(argument):
            found.setdefault(chosen.path.resolve(), chosen)
    names = Counter(each.name for each in found.values())
    return [
        each if names[each.name] == 1 else ChosenFile(each.path, _whole_name(each.path))
        for each in found.values()
    ]


def chosen_metadata(pairs: Iterable[str]) -> dict[str, str]:
    """The metadata that texts like ``key=value`` name; beyond ASCII percent-encoded, as headers.

    Raises :class:`UsageError` for another text, and for a key twice.
    """
    metadata: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not _KEY.fullmatch(key):
            raise UsageError(
                f"{pair!r} is not metadata. Use KEY=VALUE, with letters, digits and _ in the key."
            )
        if key.lower() in {each.lower() for each in metadata}:
            raise UsageError(f"The metadata {key} is there twice. Keep one of them.")
        metadata[key] = "".join(c if " " <= c <= "~" else quote(c) for c in value)
    return metadata


def _files_of(argument: str) -> Iterator[ChosenFile]:
    path = Path(argument)
    if path.exists():
        yield from _files_at(path)
        return
    # Path.glob takes no absolute pattern.
    matches = sorted(glob.glob(argument, recursive=True)) if glob.has_magic(argument) else []  # noqa: PTH207
    if not matches:
        raise UsageError(f"{argument} cannot be read: there is no such file or folder.")
    for match in matches:
        yield from _files_at(Path(match))


def _files_at(path: Path) -> Iterator[ChosenFile]:
    if not path.is_dir():
        yield _readable(path, path.name)
        return
    count = 0
    for file in sorted(path.rglob("*")):
        relative = file.relative_to(path)
        if file.is_file() and not any(part.startswith(".") for part in relative.parts):
            count += 1
            yield _readable(file, "/".join((path.resolve().name, *relative.parts)))
    if not count:
        raise UsageError(f"{path} cannot be dropped: the folder holds no files.")


def _readable(path: Path, name: str) -> ChosenFile:
    try:
        path.open("rb").close()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    return ChosenFile(path, name)


def _whole_name(path: Path) -> str:
    return "/".join(path.resolve().parts[1:])
