"""``python -m tests.faults.record_histories SCENARIO…`` records histories for the replay tests."""

import sys

from tests.support.histories.recording import main

if __name__ == "__main__":
    sys.exit(main())
