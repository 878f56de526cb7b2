"""What azd does around the templates: the package, and the script that runs after it."""

import os
import re
import subprocess
from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path

import pytest

from infra.offline.bicep import Template

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "infra" / "scripts"
FUNCIGNORE = (ROOT / ".funcignore").read_text()
AZURE_YAML = (ROOT / "azure.yaml").read_text()


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


def test_the_workers_runtime_is_pinned() -> None:
    """Azure would take another one from one day to the next; the tests run the same one."""
    pin = "azure-functions-runtime=="
    (pinned,) = re.findall(f"(?m)^{pin}.+$", (ROOT / "requirements.in").read_text())
    for lock in ("requirements.txt", "tests/requirements.txt"):
        assert f"\n{pinned} \\\n    --hash=sha256:" in (ROOT / lock).read_text(), lock
    assert pinned == f"{pin}{version('azure-functions-runtime')}"


KEPT = {"function_app.py", "host.json", "requirements.txt", "shared/transfer/work.py"}
AROUND = {
    "blob-to-outlook_env/pyvenv.cfg",  # as azd calls it
    "my-tools/lib/python3.13/site-packages/shared/x.py",
    "__pycache__/function_app.cpython-313.pyc",
    "shared/__pycache__/settings.cpython-313.pyc",
    "shared/transfer/__pycache__/work.cpython-313.pyc",
    "local.settings.json",
    ".env",
    "notes.txt",
}


def read_by_git(folder: Path) -> set[str]:
    """What is left of a folder, as git reads the file."""
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    ignored = f"--exclude-from={ROOT / '.funcignore'}"
    listed = subprocess.run(
        ["git", "ls-files", "--others", ignored],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(listed.stdout.splitlines())


def read_by_azd(folder: Path) -> set[str]:
    """The same as azd reads it: ``/*`` is of any depth there, and only ``**`` undoes that."""
    patterns = [
        line for line in FUNCIGNORE.splitlines() if line.strip() and not line.startswith("#")
    ]

    def ignored(path: Path) -> bool:
        name = path.relative_to(folder).as_posix()
        for pattern in reversed(patterns):
            if azd_matches(pattern.removeprefix("!"), name, folder=path.is_dir()):
                return not pattern.startswith("!")
        return False

    left, folders = set(), [folder]
    while folders:
        for path in folders.pop().iterdir():
            if ignored(path):
                continue
            if path.is_dir():
                folders.append(path)
            else:
                left.add(path.relative_to(folder).as_posix())
    return left


def azd_matches(pattern: str, name: str, *, folder: bool) -> bool:
    """Whether a pattern of a file name, or of everything below a folder, is of this path."""
    if pattern.endswith("/**"):
        return f"{name}/".startswith(pattern.removesuffix("**").removeprefix("/"))
    if pattern.endswith("/") and not folder:
        return False
    bare = pattern.strip("/")
    assert "/" not in bare, "not needed so far"
    return fnmatchcase(name if pattern.startswith("/") else name.rpartition("/")[2], bare)


@pytest.mark.parametrize("read", [read_by_git, read_by_azd])
def test_what_lies_around_does_not_go_to_azure(
    tmp_path: Path, read: Callable[[Path], set[str]]
) -> None:
    """Virtual environments of any name, compiled code, notes; in a folder that is no clone, too."""
    for file in KEPT | AROUND:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert read(tmp_path) == KEPT


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.sh")), ids=lambda path: path.name)
def test_shell_scripts_are_shell(script: Path) -> None:
    """As far as the shell can check without running them; and they say which shell it is."""
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
    """A machine with an ``az`` of its own, and a ``sleep`` that does not wait.

    Each leaves a line of its arguments in a file of its name. ``az`` is what a shell runs.
    """

    def __init__(self, folder: Path, az: str) -> None:
        self._folder = folder
        self._put("sleep", "exit 0")
        self._put("az", az)

    def _put(self, name: str, body: str) -> None:
        calls = self._folder / f"{name}.calls"
        command = self._folder / name
        body = body.replace(f"{name}.calls", str(calls))
        command.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n{body}\n')
        command.chmod(0o755)

    def run(self, script: str, **given: str) -> subprocess.CompletedProcess[str]:
        """Run a script with a value for everything that it reads, or with these."""
        names = re.findall(r"\$\{?([A-Z_]+)", (SCRIPTS / script).read_text())
        environment = {name: f"the-{name.lower().replace('_', '-')}" for name in names}
        path = f"{self._folder}:{os.environ['PATH']}"
        return subprocess.run(
            [SCRIPTS / script],
            env=environment | given | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self, name: str) -> list[str]:
        file = self._folder / f"{name}.calls"
        return file.read_text().splitlines() if file.exists() else []


def not_ready(folder: Path, failures: int) -> Machine:
    """A machine whose deployments fail so many times."""
    said = "handshake failed for https://app/blobs?code=S3CRET&x=1"
    az = f'[ "$(wc -l < az.calls)" -gt {failures} ] || {{ echo "{said}" >&2; exit 1; }}'
    return Machine(folder, az)


def test_the_hook_subscribes_at_once(tmp_path: Path) -> None:
    """One deployment, of names that azd hands over; again it is the same one."""
    machine = not_ready(tmp_path, failures=0)
    for _ in range(2):
        assert machine.run("subscribe.sh").returncode == 0
    first, second = machine.calls("az")
    assert first == second
    assert "--resource-group the-resource-group" in first
    assert "functionAppName=the-function-app-name" in first
    assert machine.calls("sleep") == []


def test_the_hook_waits_for_the_key(tmp_path: Path) -> None:
    """Half a minute between two tries; the key that an error names is not shown."""
    machine = not_ready(tmp_path, failures=2)
    ended = machine.run("subscribe.sh")
    assert ended.returncode == 0
    assert machine.calls("sleep") == ["30", "30"]
    assert "code=...&x=1" in ended.stderr
    assert "S3CRET" not in ended.stdout + ended.stderr


def test_the_hook_gives_up_and_says_what_to_do(tmp_path: Path) -> None:
    """After twenty tries, loudly: azd stops there. Roles take up to ten minutes to be in force."""
    machine = not_ready(tmp_path, failures=99)
    ended = machine.run("subscribe.sh")
    assert ended.returncode == 1
    assert len(machine.calls("az")) == 20
    powershell = (SCRIPTS / "subscribe.ps1").read_text()
    assert "($tries = 20; $tries -gt 0; $tries--)" in powershell
    assert ended.stderr.splitlines()[-1].endswith("then run: azd hooks run postdeploy")


@pytest.mark.parametrize("location", ["westeurope", "northeurope", "North Europe", "WestEurope"])
def test_a_region_with_the_plan_is_taken(tmp_path: Path, location: str) -> None:
    """However Azure or its user writes the name."""
    machine = Machine(tmp_path, 'printf "North Europe\\nwesteurope\\n"')
    ended = machine.run("check-region.sh", AZURE_LOCATION=location)
    assert (ended.returncode, ended.stderr) == (0, "")
    (call,) = machine.calls("az")
    assert "--subscription the-azure-subscription-id" in call


def test_the_check_works_before_azd_knows_the_subscription(tmp_path: Path) -> None:
    """The one that the Azure CLI is signed in to is taken then."""
    machine = Machine(tmp_path, "echo westeurope")
    ended = machine.run("check-region.sh", AZURE_SUBSCRIPTION_ID="", AZURE_LOCATION="westeurope")
    assert (ended.returncode, ended.stderr) == (0, "")
    (call,) = machine.calls("az")
    assert "--subscription" not in call


@pytest.mark.parametrize("location", ["westindia", "west.urope", "europe"])
def test_a_region_without_the_plan_is_refused(tmp_path: Path, location: str) -> None:
    """With those that have it; a name is no pattern."""
    machine = Machine(tmp_path, 'printf "westeurope\\nNorth Europe\\n"')
    ended = machine.run("check-region.sh", AZURE_LOCATION=location)
    assert ended.returncode == 1
    assert f"{location} does not offer the Flex Consumption plan" in ended.stderr
    assert "Nothing was created" in ended.stderr
    assert ended.stderr.splitlines()[-2:] == ["northeurope", "westeurope"]


def test_nothing_is_created_in_a_region_that_was_not_checked(tmp_path: Path) -> None:
    """`azd provision` asks for the region after the check; `azd up` asks before it."""
    ended = Machine(tmp_path, "echo westeurope").run("check-region.sh", AZURE_LOCATION="")
    assert ended.returncode == 1
    assert "Nothing was created" in ended.stderr
    assert "azd env set AZURE_LOCATION" in ended.stderr
    assert ended.stderr.splitlines()[-1] == "westeurope"
    powershell = (SCRIPTS / "check-region.ps1").read_text()
    assert "No region is set" in ended.stderr
    assert "No region is set" in powershell


@pytest.mark.parametrize("az", ["exit 0", "echo 'no such sku' >&2; exit 1"])
def test_a_cloud_without_the_plan_is_refused(tmp_path: Path, az: str) -> None:
    """Whether it lists nothing or does not know the plan at all."""
    ended = Machine(tmp_path, az).run("check-region.sh", AZURE_LOCATION="usgovvirginia")
    assert ended.returncode == 1
    assert "does not offer the plan" in ended.stderr.replace("Flex Consumption plan", "plan")
    assert "Nothing was created" in ended.stderr


def test_azd_runs_the_hooks() -> None:
    """Before anything is created, and after the code is there; a script for each system.

    They talk to the person at the keyboard, so their output is not hidden.
    """
    hooks = dict(re.findall(r"(?m)^  (\w+):\n((?:    .*\n)+)", section_of(AZURE_YAML, "hooks")))
    assert set(hooks) == {"preprovision", "postdeploy"}
    for hook, script in (("preprovision", "check-region"), ("postdeploy", "subscribe")):
        runs = re.findall(r"run: (\S+)", hooks[hook])
        assert runs == [f"infra/scripts/{script}.sh", f"infra/scripts/{script}.ps1"]
        assert all((ROOT / file).is_file() for file in runs)
        assert hooks[hook].count("interactive: true") == len(runs)


def test_azd_is_new_enough() -> None:
    """Before 1.18.0 it does not read .funcignore; before 1.16 unset parameters are empty texts.

    An empty text is none of the allowed values, and takes the place of a default.
    """
    (required,) = re.findall(r"(?m)^requiredVersions:\n  azd: \"(.+)\"$", AZURE_YAML)
    assert required == ">= 1.18.0"
    for document in ("README.md", "infra/OPERATIONS.md"):
        assert "1.18" in (ROOT / document).read_text(), document


def section_of(text: str, name: str) -> str:
    """What is under a key of a YAML file, without its comments."""
    body = text.split(f"\n{name}:\n")[1]
    return "".join(f"{line}\n" for line in body.splitlines() if not line.strip().startswith("#"))


def test_the_subscription_names_the_function(templates: dict[str, Template]) -> None:
    """The webhook's is the blob trigger, the topic's the function for events."""
    text = templates["subscriptions.bicep"].text
    code = "".join(
        (ROOT / "shared" / "triggers" / f).read_text() for f in ("blob.py", "event_grid.py")
    )
    for function in re.findall(r"Host\.Functions\.(\w+)|/functions/(\w+)", text):
        assert f"async def {''.join(function)}(" in code
