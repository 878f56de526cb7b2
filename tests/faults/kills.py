"""``python -m tests.faults.kills --count 1000 --seed 3`` kills the worker and counts the damage."""

import sys

from tests.support.faults.kills import main

if __name__ == "__main__":
    sys.exit(main())
