"""(b) Python's other clients of this protocol, each in a process of its own, against the engine.

They read a local file, and we a blob. Each is installed by this benchmark alone, into ``.bench``;
what had to be patched to run it is written in its driver. Creating the session counts for all.
"""

import hashlib
import secrets
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import requests

from infra.local.azurite import Azurite
from tests.benchmarks.engine import SERVICES, Engine
from tests.benchmarks.measurement import MIB, Measure, Report, Target, in_rounds, median_ratio
from tests.benchmarks.outlook_process import MAILBOX, OutlookProcess

_ROOT = Path(__file__).parents[2]
_DRIVERS = Path(__file__).parent / "peers"
PEERS = {
    "O365==2.1.10": "python_o365",
    "Office365-REST-Python-Client==3.3.0": "office365_rest",
    "msgraph-core==1.5.2 microsoft-kiota-serialization-json==1.16.0": "msgraph_core",
}
SIZE = 150 * MIB
LATENCY = {name: SERVICES[name] for name in ("50 ms", "50 ms, 40 MB/s")}
BEST_AT_MOST = 1.05
# By default its ranges are larger than Outlook accepts.
_REFUSED = {("msgraph_core", "default")}


def run() -> Report:
    """Install what is not there, and measure."""
    pythons = {driver: _installed(packages, driver) for packages, driver in PEERS.items()}
    with ExitStack() as running:
        outlook = running.enter_context(OutlookProcess())
        azurite = running.enter_context(Azurite())
        engine = running.enter_context(Engine(azurite.connection_string, outlook))
        folder = running.enter_context(TemporaryDirectory(prefix="peers-"))
        file = Path(folder) / "peer.bin"
        file.write_bytes(secrets.token_bytes(SIZE))
        blob = engine.put(SIZE)
        peer = partial(_peer, outlook, file)
        for driver, mode in _REFUSED:
            _check_refused(outlook, file, pythons[driver], driver, mode)
        measures: dict[str, Measure] = {}
        for name, (seconds, rate) in LATENCY.items():
            measures[f"{name}: engine"] = outlook.with_latency(
                seconds, rate, partial(engine.attach, blob)
            )
            for driver, python in pythons.items():
                for mode in ("default", "tuned"):
                    if (driver, mode) not in _REFUSED:
                        work = partial(peer, python, driver, mode)
                        measures[f"{name}: {driver} {mode}"] = outlook.with_latency(
                            seconds, rate, work
                        )
        return _report(in_rounds(measures))


def _installed(packages: str, driver: str) -> Path:
    """The Python of an environment that has the packages."""
    folder = _ROOT / ".bench" / driver
    python = folder / "bin" / "python"
    if not (folder / packages).exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", *packages.split()]
        subprocess.run(install, check=True, stderr=subprocess.DEVNULL)
        (folder / packages).touch()
    return python


def _peer(outlook: OutlookProcess, file: Path, python: Path, driver: str, mode: str) -> float:
    """Seconds that a peer takes, by its own clock; the attachment is checked."""
    done, attached = _attached_by(outlook, file, python, driver, mode)
    assert done.returncode == 0, f"{driver} ({mode}): {done.stderr[-2000:]}"
    with file.open("rb") as content:
        sent = hashlib.file_digest(content, "sha256").hexdigest()
    assert attached == [sent], f"{driver} ({mode}) attached something else"
    return float(done.stdout.splitlines()[-1])


def _check_refused(
    outlook: OutlookProcess, file: Path, python: Path, driver: str, mode: str
) -> None:
    """Check that a peer cannot attach the file, so that there is nothing to measure."""
    done, attached = _attached_by(outlook, file, python, driver, mode)
    assert done.returncode != 0, f"{driver} ({mode}) was to be refused"
    assert "413" in done.stderr, done.stderr[-2000:]
    assert not attached


def _attached_by(
    outlook: OutlookProcess, file: Path, python: Path, driver: str, mode: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """A finished run of a peer, and the digests of its item's attachments."""
    item = outlook.add_item()
    # Without the drivers' folder in its path: one of them is named as the package it needs.
    command: list[str | Path] = [python, "-P", _DRIVERS / f"{driver}.py", outlook.url]
    command += [_token(outlook), MAILBOX, item, file, mode]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done, outlook.remove_item(item)


def _token(outlook: OutlookProcess) -> str:
    answer = requests.get(
        outlook.identity["IDENTITY_ENDPOINT"],
        params={"api-version": "2019-08-01", "resource": "https://graph.microsoft.com"},
        headers={"X-IDENTITY-HEADER": outlook.identity["IDENTITY_HEADER"]},
        timeout=10,
    )
    return str(answer.json()["access_token"])


def _report(samples: dict[str, list[float]]) -> Report:
    rows: list[tuple[str | float, ...]] = []
    targets = []
    for name in LATENCY:
        engine = samples[f"{name}: engine"]
        rows.append((name, "this engine", "from a blob", median(engine), 1.0))
        tuned = []
        for driver in PEERS.values():
            for mode in ("default", "tuned"):
                seconds = samples.get(f"{name}: {driver} {mode}")
                if seconds is None:
                    rows.append((name, driver, mode, "refused: ranges over 4 MB", ""))
                    continue
                ratio = median_ratio(engine, seconds)
                rows.append((name, driver, mode, median(seconds), ratio))
                if mode == "default":
                    targets.append(Target(f"{name}, against {driver} by default", ratio, 1.0))
                else:
                    tuned.append(seconds)
        best = min(tuned, key=median)
        ratio = median_ratio(engine, best)
        targets.append(Target(f"{name}, against the best tuned peer", ratio, BEST_AT_MOST))
    return Report(
        title="(b) Python's other clients, 150 MiB, session included",
        columns=("a PUT", "client", "mode", "seconds", "engine / client"),
        rows=rows,
        targets=targets,
        samples=samples,
    )
