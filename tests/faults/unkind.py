"""``python -m tests.faults.unkind --seed N [--count C]``: schedules on the unkind engine."""

from tests.support.faults.unkind_figures import main

if __name__ == "__main__":
    main()
