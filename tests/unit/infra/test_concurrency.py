"""What host.json lets run at once has the threads, connections and memory that it needs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from infra.local.stack import THREADS as LOCAL_THREADS
from infra.offline.bicep import INFRA, Template, decorators, read_templates
from infra.offline.settings import app_settings
from shared.outlook.graph_http import CONNECTIONS as TO_OUTLOOK
from shared.settings import Settings
from shared.storage.accounts import CONNECTIONS as TO_STORAGE
from shared.transfer.activities.blob_reader import MAX_READ_AHEAD
from shared.transfer.activities.reader_cache import MAX_CACHED_READERS

ROOT = Path(__file__).parents[3]
DURABLE = json.loads((ROOT / "host.json").read_text())["extensions"]["durableTask"]
ACTIVITIES = DURABLE["maxConcurrentActivityFunctions"]
INSTANCE_MEMORY = read_templates()["main.bicep"].parameters["instanceMemoryMB"]
SIZES: list[Any] = decorators(INSTANCE_MEMORY)["allowed"]
OPERATIONS = (INFRA / "OPERATIONS.md").read_text()
# The worker with the app in it, before the first transfer (`make bench ONLY=d`).
APP_BYTES = 95 * 10**6
THREADS = "PYTHON_THREADPOOL_THREAD_COUNT"


def test_everything_that_runs_at_once_has_a_thread(templates: dict[str, Template]) -> None:
    """In Azure, under Core Tools and in the local stack: an upload must not hold a decision up."""
    entities = DURABLE["maxConcurrentEntityFunctions"]
    needed = ACTIVITIES + DURABLE["maxConcurrentOrchestratorFunctions"] + entities
    sample = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    assert int(app_settings(templates)[THREADS].strip("'")) == needed
    assert int(sample[THREADS]) == needed
    assert int(LOCAL_THREADS) == needed


def test_every_activity_has_its_connections() -> None:
    """One to Outlook, two to storage: its own, and that of its reading ahead."""
    assert TO_OUTLOOK >= ACTIVITIES
    assert TO_STORAGE >= 2 * ACTIVITIES


@pytest.mark.parametrize("size", SIZES)
def test_slices_take_a_small_part_of_an_instance(size: int) -> None:
    """Three for each activity, two for each transfer between two activities: under a quarter.

    Of every size that the template allows: 512 MB have not enough for the slices, the app and the
    Functions host.
    """
    slices = ACTIVITIES * (1 + MAX_READ_AHEAD) + MAX_CACHED_READERS * MAX_READ_AHEAD
    assert MAX_CACHED_READERS >= ACTIVITIES
    assert slices * Settings().range_bytes < size * 2**20 / 4
    assert slices * Settings().range_bytes + APP_BYTES < size * 2**20 / 2


def test_the_sizes_are_documented() -> None:
    """In OPERATIONS.md, each of them; the default is one of them."""
    row = next(line for line in OPERATIONS.splitlines() if "`INSTANCE_MEMORY_MB`" in line)
    assert [int(each) for each in re.findall(r"\b\d{4}\b", row.split("|")[3])] == SIZES
    assert INSTANCE_MEMORY["default"] in SIZES


def test_the_number_of_instances_is_what_the_plan_takes() -> None:
    """From one to a thousand."""
    bounds = decorators(read_templates()["main.bicep"].parameters["maximumInstances"])
    assert (bounds["min_value"], bounds["max_value"]) == (1, 1000)
