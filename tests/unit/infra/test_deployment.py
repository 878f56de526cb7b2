"""What azd does around the templates: the package, and the script that runs after it."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from infra.offline.bicep import Template

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "infra" / "scripts"


def package() -> set[str]:
    """Files of the project that go to Azure: all but what .funcignore names, as git reads it."""
    kept, left = (
        set(
            subprocess.run(
                ["git", "ls-files", *arguments],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=True,
            ).stdout.splitlines()
        )
        for arguments in ([], ["--cached", "--ignored", "--exclude-from=.funcignore"])
    )
    return kept - left


def test_the_package_is_the_app_and_nothing_else() -> None:
    """The code, host.json and the locked requirements; no tests, templates or documents."""
    files = package()
    assert {"function_app.py", "host.json", "requirements.txt", "shared/settings.py"} <= files
    assert {file.split("/")[0] for file in files} == {
        "function_app.py",
        "host.json",
        "requirements.txt",
        "shared",
        "LICENSE",
    }
    page = {file for file in files if file.startswith("shared/triggers/http/monitor/")}
    assert "shared/triggers/http/monitor/index.html" in page
    code = {file for file in files if file.startswith("shared/")} - page
    assert {Path(file).suffix for file in code} == {".py"}


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.sh")), ids=lambda path: path.name)
def test_shell_scripts_are_shell(script: Path) -> None:
    """As far as the shell can tell without running them; and they say which shell it is."""
    assert script.read_text().startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n", script], check=True)


@pytest.mark.parametrize("script", ["subscribe.sh", "subscribe.ps1"])
def test_the_hook_gives_the_template_what_it_takes(
    templates: dict[str, Template], script: str
) -> None:
    """Each parameter from an output of main.bicep, on every system."""
    text = (SCRIPTS / script).read_text()
    arguments = dict(re.findall(r'^ +(\w+)="?\$(?:env:|\{)?(\w+)', text, re.MULTILINE))
    assert set(arguments) == set(templates["subscriptions.bicep"].parameters)
    assert set(arguments.values()) <= set(templates["main.bicep"].outputs)
    assert "--template-file subscriptions.bicep" in text


class Machine:
    """A machine with an ``az`` that fails so many times, and a ``sleep`` that does not wait.

    Each leaves a line of its arguments in a file of its name.
    """

    def __init__(self, folder: Path, failures: int) -> None:
        self._folder = folder
        said = "handshake failed for https://app/blobs?code=S3CRET&x=1"
        self._put("sleep", "exit 0")
        self._put(
            "az", f'[ "$(wc -l < az.calls)" -gt {failures} ] || {{ echo "{said}" >&2; exit 1; }}'
        )

    def _put(self, name: str, body: str) -> None:
        calls = self._folder / f"{name}.calls"
        command = self._folder / name
        body = body.replace(f"{name}.calls", str(calls))
        command.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n{body}\n')
        command.chmod(0o755)

    def run_hook(self) -> subprocess.CompletedProcess[str]:
        names = re.findall(r"\$\{?([A-Z_]+)", (SCRIPTS / "subscribe.sh").read_text())
        environment = {name: f"the-{name.lower().replace('_', '-')}" for name in names}
        path = f"{self._folder}:{os.environ['PATH']}"
        return subprocess.run(
            [SCRIPTS / "subscribe.sh"],
            env=environment | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self, name: str) -> list[str]:
        file = self._folder / f"{name}.calls"
        return file.read_text().splitlines() if file.exists() else []


def test_the_hook_subscribes_at_once(tmp_path: Path) -> None:
    """One deployment, of names that azd hands over; again it is the same one."""
    machine = Machine(tmp_path, failures=0)
    for _ in range(2):
        assert machine.run_hook().returncode == 0
    first, second = machine.calls("az")
    assert first == second
    assert "--resource-group the-resource-group" in first
    assert "functionAppName=the-function-app-name" in first
    assert machine.calls("sleep") == []


def test_the_hook_waits_for_the_key(tmp_path: Path) -> None:
    """Half a minute between two tries; the key that an error names is not shown."""
    machine = Machine(tmp_path, failures=2)
    ended = machine.run_hook()
    assert ended.returncode == 0
    assert machine.calls("sleep") == ["30", "30"]
    assert "code=...&x=1" in ended.stderr
    assert "S3CRET" not in ended.stdout + ended.stderr


def test_the_hook_gives_up_and_says_what_to_do(tmp_path: Path) -> None:
    """After ten tries, loudly: azd stops there."""
    machine = Machine(tmp_path, failures=99)
    ended = machine.run_hook()
    assert ended.returncode == 1
    assert len(machine.calls("az")) == 10
    assert ended.stderr.splitlines()[-1].endswith("then run: azd hooks run postdeploy")


def test_azd_runs_the_hook() -> None:
    """The scripts that azure.yaml names are there."""
    named = re.findall(r"run: (\S+)", (ROOT / "azure.yaml").read_text())
    assert named == ["infra/scripts/subscribe.sh", "infra/scripts/subscribe.ps1"]
    assert all((ROOT / file).is_file() for file in named)


def test_the_subscription_names_the_function(templates: dict[str, Template]) -> None:
    """The webhook's is the blob trigger, the topic's the function for events."""
    text = templates["subscriptions.bicep"].text
    code = "".join(
        (ROOT / "shared" / "triggers" / f).read_text() for f in ("blob.py", "event_grid.py")
    )
    for function in re.findall(r"Host\.Functions\.(\w+)|/functions/(\w+)", text):
        assert f"async def {''.join(function)}(" in code
