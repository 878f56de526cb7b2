"""What host.json lets run at once has the threads, connections and memory that it needs."""

import json
from pathlib import Path

from infra.local.stack import THREADS as LOCAL_THREADS
from infra.offline.bicep import Template
from infra.offline.settings import app_settings
from shared.outlook.graph_http import CONNECTIONS as TO_OUTLOOK
from shared.settings import Settings
from shared.storage.accounts import CONNECTIONS as TO_STORAGE
from shared.transfer.activities.blob_reader import MAX_READ_AHEAD
from shared.transfer.activities.reader_cache import MAX_CACHED_READERS

ROOT = Path(__file__).parents[3]
DURABLE = json.loads((ROOT / "host.json").read_text())["extensions"]["durableTask"]
ACTIVITIES = DURABLE["maxConcurrentActivityFunctions"]
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


def test_slices_take_a_small_part_of_an_instance(templates: dict[str, Template]) -> None:
    """Three for each activity, two for each transfer between two activities: under a quarter."""
    slices = ACTIVITIES * (1 + MAX_READ_AHEAD) + MAX_CACHED_READERS * MAX_READ_AHEAD
    instance = int(templates["main.bicep"].parameters["instanceMemoryMB"]["default"]) * 2**20
    assert MAX_CACHED_READERS >= ACTIVITIES
    assert slices * Settings().range_bytes < instance / 4
