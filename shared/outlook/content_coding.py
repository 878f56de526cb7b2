"""Undoes the compression of a response in small pieces, so that limits hold for what comes out."""

import zlib
from collections.abc import Iterable, Iterator

_PIECE = 65_536
# Detects the headers of gzip and zlib.
_EITHER_HEADER = 47


class UnreadableContent(Exception):
    """Raised for a compression that is unknown, damaged or incomplete."""


def decoded(chunks: Iterable[bytes], coding: str) -> Iterator[bytes]:
    """The bytes without their ``Content-Encoding``, in pieces of 64 KiB at most when there is one.

    Compression is never requested, but a proxy can add it. Raises :class:`UnreadableContent`.
    """
    match coding.strip().lower():
        case "" | "identity":
            yield from chunks
        case "gzip" | "x-gzip" | "deflate":
            yield from _decompressed(chunks)
        case _:
            raise UnreadableContent


def _decompressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    stream = zlib.decompressobj(_EITHER_HEADER)
    for chunk in chunks:
        rest, is_full = chunk, True
        while rest or is_full:
            try:
                piece = stream.decompress(rest, _PIECE)
            except zlib.error:
                raise UnreadableContent from None
            yield piece
            rest, is_full = stream.unconsumed_tail, len(piece) == _PIECE
    if not stream.eof or stream.unused_data:
        raise UnreadableContent
