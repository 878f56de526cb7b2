"""README and OPERATIONS.md name what is there."""

import re

from infra.offline.bicep import INFRA, Template

README = (INFRA.parent / "README.md").read_text()
OPERATIONS = (INFRA / "OPERATIONS.md").read_text()


def section(text: str, title: str) -> str:
    """What is under a heading."""
    return text.split(f"\n## {title}\n")[1].partition("\n## ")[0]


def test_the_app_is_deployed_by_six_commands_at_most() -> None:
    """README's section has one block of them, a line each."""
    (block,) = re.findall(r"```sh\n(.*?)```", section(README, "Deploy to Azure"), re.DOTALL)
    assert 0 < len(block.splitlines()) <= 6


def test_every_choice_is_told() -> None:
    """What main.parameters.json reads from the environment, here or as a setting in README."""
    chosen = set(re.findall(r"\$\{(\w+)\}", (INFRA / "main.parameters.json").read_text()))
    table = section(OPERATIONS, "Deploy") + section(README, "Settings")
    told = set(re.findall(r"`([A-Z_]+)`", table))
    # azd asks for these two itself.
    assert chosen - told == {"AZURE_ENV_NAME", "AZURE_LOCATION"}
    assert set(re.findall(r"(?m)^\| `([A-Z_]+)`", section(OPERATIONS, "Deploy"))) <= chosen


def test_the_commands_use_names_that_the_deployment_gives(templates: dict[str, Template]) -> None:
    """Variables of the shell are outputs of main.bicep, or set in the commands themselves."""
    used = set(re.findall(r"\$\{?([A-Z_]+)", OPERATIONS))
    assert used - set(templates["main.bicep"].outputs) == {"KEY", "MASTER"}


def test_every_file_that_is_named_is_there() -> None:
    """Scripts and templates."""
    named = re.findall(r"infra/[\w/-]+\.(?:ps1|sh|bicep)", README + OPERATIONS)
    assert {"infra/scripts/grant-mailboxes.ps1", "infra/app/graph-role.bicep"} <= set(named)
    assert [file for file in named if not (INFRA.parent / file).is_file()] == []


def test_every_alert_says_what_to_do(templates: dict[str, Template]) -> None:
    """In the table of what you see."""
    variables = templates["app/alerts.bicep"].variables
    alerts = [alert["name"] for alert in [*variables["queries"], *variables["losses"]]]
    table = section(OPERATIONS, "What you see")
    assert [name for name in alerts if f"*{name}*" not in table] == []
