"""The documents name commands, settings, files and functions that exist."""

import pkgutil
import re

import pytest

from infra.offline.bicep import INFRA, Template
from shared.transfer.payloads import UNDER_WAY

ROOT = INFRA.parent
README = (ROOT / "README.md").read_text()
OPERATIONS = (INFRA / "OPERATIONS.md").read_text()
CAPACITY = (INFRA / "CAPACITY.md").read_text()
FILES = [
    file.relative_to(ROOT)
    for folder in ("shared", "tests", "infra", "docs")
    for file in sorted((ROOT / folder).rglob("*"))
    if not {"node_modules", "__pycache__"} & set(file.parts)
]
DOCUMENTS = {
    str(file.relative_to(ROOT)): file.read_text()
    for pattern in ("README.md", "docs/*.md", "tests/README.md", "infra/*.md")
    for file in sorted(ROOT.glob(pattern))
}
# These two describe the code, and name parts of it by less than the whole path.
ABOUT_CODE = ("docs/architecture.md", "tests/README.md")
UPGRADE = "Upgrade with transfers in flight"
# From the references of the Azure CLI and azd: one that is not here has to be looked up there.
COMMANDS = {
    "az account get-access-token",
    "az ad app create",
    "az ad app delete",
    "az ad app update",
    "az ad signed-in-user show",
    "az ad sp create",
    "az ad sp update",
    "az bicep build",
    "az cloud set",
    "az cloud show",
    "az deployment group create",
    "az eventgrid system-topic list",
    "az eventgrid system-topic update",
    "az functionapp config appsettings list",
    "az functionapp keys list",
    "az functionapp keys set",
    "az functionapp list-flexconsumption-locations",
    "az functionapp restart",
    "az functionapp stop",
    "az login",
    "az provider register",
    "az provider show",
    "az rest",
    "az storage blob delete",
    "az storage blob download",
    "az storage blob list",
    "az storage blob metadata show",
    "az storage blob undelete",
    "az storage blob upload",
    "azd auth login",
    "azd deploy",
    "azd down",
    "azd env get-value",
    "azd env get-values",
    "azd env list",
    "azd env new",
    "azd env set",
    "azd hooks run",
    "azd provision",
    "azd restore",
    "azd up",
}


def section(text: str, title: str) -> str:
    """What is under a heading."""
    return text.split(f"\n## {title}\n")[1].partition("\n## ")[0]


def test_the_app_is_deployed_by_six_commands_at_most() -> None:
    """README's section has one block of them, a line each, with a way to grant events beside it."""
    (block,) = re.findall(r"```sh\n(.*?)```", section(README, "Deploy to Azure"), re.DOTALL)
    assert 0 < len(block.splitlines()) <= 6
    assert "-Items Events" in section(README, "Deploy to Azure")
    assert "-Items Events" in section(OPERATIONS, "Permissions on mailboxes")
    assert '"Calendars.ReadWrite"' in section(OPERATIONS, "Permissions on mailboxes")


def test_every_choice_is_described() -> None:
    """What main.parameters.json reads from the environment, here or as a setting in README."""
    chosen = set(re.findall(r"\$\{(\w+)\}", (INFRA / "main.parameters.json").read_text()))
    table = section(OPERATIONS, "Deploy") + section(README, "Settings")
    described = set(re.findall(r"`([A-Z_]+)`", table))
    # azd prompts for these two itself.
    assert chosen - described == {"AZURE_ENV_NAME", "AZURE_LOCATION"}
    assert set(re.findall(r"(?m)^\| `([A-Z_]+)`", section(OPERATIONS, "Deploy"))) <= chosen


def test_the_commands_use_names_that_the_deployment_gives(templates: dict[str, Template]) -> None:
    """Variables of the shell are outputs of main.bicep, or set in the commands themselves."""
    used = set(re.findall(r"\$\{?([A-Z_]+)", OPERATIONS))
    set_there = set(re.findall(r"(?m)^(?:for )?([A-Z]+)(?:=| in )", OPERATIONS))
    assert used - set_there <= set(templates["main.bicep"].outputs)


def commands_in(text: str) -> set[str]:
    """The words of each command of the Azure CLI and azd, up to its first option."""
    code = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    code = re.sub(r"[`(|;&]", "\n", code)
    return set(re.findall(r"(?m)^[ !]*((?:az|azd)(?: [a-z][a-z-]+)+)", code))


def test_the_commands_are_there() -> None:
    """Those of the documents and of the scripts; the last words can be arguments."""
    scripts = [each.read_text() for each in sorted((INFRA / "scripts").iterdir())]
    found = set().union(*map(commands_in, (README, OPERATIONS, CAPACITY, *scripts)))
    unknown = {
        command
        for command in found
        if not any(f"{command} ".startswith(f"{known} ") for known in COMMANDS)
    }
    assert unknown == set()


def test_a_command_that_is_not_there_is_found() -> None:
    """In the text as in a block."""
    text = "see `az functionapp log tail`\n```sh\nX=$(az storage blub list -o tsv)\n```\n"
    assert commands_in(text) == {"az functionapp log tail", "az storage blub list"}


def test_documents_agree_on_the_rights_that_are_needed() -> None:
    """In the subscription, by the names of the roles."""
    for text in (section(README, "Deploy to Azure"), section(OPERATIONS, "Deploy")):
        assert "*Contributor*" in text
        assert "*Role Based Access Control Administrator*" in text
        assert "owner" not in text.lower()


def test_draining_waits_for_every_state_of_a_transfer_under_way() -> None:
    """A transfer in any other state has ended."""
    (states,) = re.findall(r"for STATE in ([a-z ]+);", section(OPERATIONS, UPGRADE))
    assert set(states.split()) == UNDER_WAY


def test_the_update_strategy_is_the_one_that_is_deployed(templates: dict[str, Template]) -> None:
    """Recreate, the default: instances of two versions do not run at once."""
    assert "siteUpdateStrategy" not in templates["app/function-app.bicep"].text
    text = section(OPERATIONS, UPGRADE)
    assert "updates by *Recreate*" in text
    assert "*RollingUpdate*" in text


def test_what_surprises_operators_is_written_down() -> None:
    """By section: what does not work, what is not retried, what stays behind."""
    expected = {
        "Deploy": ("list-flexconsumption-locations", "`azd restore`", "same region"),
        "Permissions on mailboxes": ("Shared and delegated mailboxes", "known issue"),
        "Restore a dead letter": ("(400, 401, 403, 413) is not tried again",),
        "Rotate": ("does not try such an event again",),
        "Delete it all": ("`azd down`", "Exchange", "14 days", "--purge"),
        "What you see": ("second system topic", "wait ten minutes"),
    }
    for title, words in expected.items():
        text = section(OPERATIONS, title)
        assert [each for each in words if each not in text] == [], title


def test_every_meter_that_runs_while_nothing_happens_is_listed() -> None:
    """With an example in money, its date, and the shortest time that an execution counts for."""
    text = section(CAPACITY, "What costs while nothing happens")
    for meter in (
        "Always-ready",
        "Alert",
        "Private endpoints",
        "Queue",
        "Telemetry",
        "Storage logs",
        "Soft delete",
    ):
        assert f"| {meter}" in text, meter
    assert re.search(r"\$\d+ a month", text)
    assert re.search(r"\b20\d\d\b", text)
    assert "1,000 ms" in CAPACITY


def missing_paths(text: str) -> set[str]:
    """The paths in a text that do not exist: from the root, or a test or module by its name."""
    from_root = set(re.findall(r"(?<![\w/.-])(?:shared|tests|infra|docs)/[\w./*-]*[\w*]", text))
    by_name = set(re.findall(r"\btest_\w+\.py\b|(?<=`)[\w/]+\.py(?=`)", text)) - from_root
    return {path for path in from_root if not any(ROOT.glob(path))} | {
        path for path in by_name if not any(file.match(path) for file in FILES)
    }


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_in_a_document_exists(document: str) -> None:
    """Folders, files, patterns of files, and tests by the names of their modules."""
    assert missing_paths(DOCUMENTS[document]) == set()


def test_a_path_that_does_not_exist_is_found() -> None:
    """Also in an abbreviated form, and by a pattern."""
    text = (
        "`shared/app.py` `shared/nap.py` `http/routes.py` `http/boots.py` infra/*.bicep infra/*.tf"
    )
    assert missing_paths(text) == {"shared/nap.py", "http/boots.py", "infra/*.tf"}
    assert missing_paths("`tests/unit/test_a.py`, `test_b.py`; test_replay.py") == {
        "tests/unit/test_a.py",
        "test_b.py",
    }


@pytest.mark.parametrize("document", ABOUT_CODE)
def test_every_module_in_a_document_about_code_exists(document: str) -> None:
    """Written as ``service/start``, as ``python -m``, or with a name in it."""
    text = DOCUMENTS[document]
    short = set(re.findall(r"`(\w+/\w+)`", text))
    known = {str(file.with_suffix("")) for file in FILES}
    assert {each for each in short if not any(f"/{k}".endswith(f"/{each}") for k in known)} == set()
    names = re.findall(r"python -m ((?:tests|infra)[\w.]*\w)", text)
    names += [f"tests.{name}" for name in re.findall(r"`(support\.[\w.]+)`", text)]
    for name in names:
        pkgutil.resolve_name(name)


@pytest.mark.parametrize("document", ["README.md", *ABOUT_CODE])
def test_every_identifier_in_a_document_is_in_the_code(document: str) -> None:
    """Functions, classes, settings, keys and error codes."""
    sources = [ROOT / "host.json", ROOT / "Makefile", ROOT / "pyproject.toml"]
    sources += [ROOT / file for file in FILES if file.suffix in {".py", ".js", ".json", ".bicep"}]
    words = set().union(*(re.findall(r"\w+", file.read_text()) for file in sources))
    words |= {part for file in FILES for part in (*file.parts, file.stem)}
    named = set(re.findall(r"`([A-Za-z]\w+)`", DOCUMENTS[document]))
    assert named - words == set()


def test_every_alert_says_what_to_do(templates: dict[str, Template]) -> None:
    """In the table of what you see."""
    variables = templates["app/alerts.bicep"].variables
    alerts = [alert["name"] for alert in [*variables["queries"], *variables["losses"]]]
    table = section(OPERATIONS, "What you see")
    assert [name for name in alerts if f"*{name}*" not in table] == []
