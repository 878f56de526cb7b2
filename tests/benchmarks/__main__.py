"""``python -m tests.benchmarks [a] [b] …``: runs benchmarks, all of them when none is named.

Prints a table each and keeps the figures in ``results/latest.json``. Exits with 1 when a target
is missed.
"""

import sys
from collections.abc import Callable

from rich.console import Console

from tests.benchmarks import end_to_end, engine, mailbox_window, many_files, memory, peer_clients
from tests.benchmarks.measurement import LATEST, Report, keep, machine, revision

BENCHMARKS: dict[str, Callable[[], Report]] = {
    "a": engine.run,
    "b": peer_clients.run,
    "c": end_to_end.run,
    "d": memory.run,
    "e": many_files.run,
    "f": mailbox_window.run,
}


def main(letters: list[str]) -> int:
    """Run these benchmarks; 0 when every target is met."""
    console = Console()
    if unknown := set(letters) - set(BENCHMARKS):
        console.print(f"There is no benchmark {', '.join(sorted(unknown))}; there are a to f.")
        return 2
    missed = []
    # Before the first result is kept, which changes the working tree.
    measured = revision()
    for letter in letters or BENCHMARKS:
        before = {"revision": measured, **machine()}
        report = BENCHMARKS[letter]()
        report.show(console)
        keep(letter, report, before)
        missed += [f"({letter}) {target}" for target in report.targets if not target.is_met]
    console.print(f"Kept in {LATEST}", soft_wrap=True)
    for line in missed:
        console.print(line, highlight=False, soft_wrap=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
