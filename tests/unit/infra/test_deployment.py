"""What azd does around the templates: the package, and the script that runs after it."""

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
    assert {Path(file).suffix for file in files if file.startswith("shared/")} == {".py"}


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
