"""The app's log, captured."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _LineCollector(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


@contextmanager
def captured_log() -> Iterator[list[str]]:
    """The lines logged meanwhile, at the levels that ``function_app`` sets."""
    levels = {"": logging.INFO, "azure": logging.WARNING, "urllib3": logging.WARNING}
    before = {name: logging.getLogger(name).level for name in levels}
    lines: list[str] = []
    collector = _LineCollector(lines)
    logging.getLogger().addHandler(collector)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield lines
    finally:
        logging.getLogger().removeHandler(collector)
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
