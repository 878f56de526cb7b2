"""``python -m tests.faults.schedules --seed N`` prints a seed's schedule, its run and verdict."""

from tests.support.faults.schedule_run import main

if __name__ == "__main__":
    main()
