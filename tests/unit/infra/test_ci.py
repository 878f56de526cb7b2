"""The job of the workflow that compiles the templates prints the compiler's output."""

import os
import re
import subprocess
import textwrap
from pathlib import Path

import pytest

from infra.offline.bicep import Template

ROOT = Path(__file__).parents[3]
WORKFLOW = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
# GitHub runs a step that names no shell as `bash -e`.
SHELL = ["bash", "-e", "-c"]


def step() -> str:
    """The script of the job, as it stands in the workflow."""
    job = WORKFLOW.split("\n  bicep:\n")[1]
    (script,) = re.findall(r"- run: \|\n((?: {10}.*\n)+)", job.partition("\n\n")[0] + "\n")
    return textwrap.dedent(script)


def compiled(folder: Path, az: str) -> subprocess.CompletedProcess[str]:
    """Run it with an ``az`` that does this; its arguments are in ``az.calls``."""
    command = folder / "az"
    command.write_text(f'#!/bin/sh\necho "$@" >> az.calls\n{az}\n')
    command.chmod(0o755)
    return subprocess.run(
        [*SHELL, step()],
        cwd=folder,
        env={"PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("main.bicep(1,1) : Error BCP018: Expected", 1),
        ("main.bicep(1,1) : Warning no-unused-params: name", 0),
    ],
)
def test_what_the_compiler_says_is_printed_and_fails(tmp_path: Path, said: str, code: int) -> None:
    """An error, with which the compiler fails, and a warning, with which it does not."""
    ended = compiled(tmp_path, f"echo '{said}' >&2; exit {code}")
    assert ended.returncode == 1
    assert said in ended.stdout
    # The other files are compiled all the same: one run shows every error.
    assert len((tmp_path / "az.calls").read_text().splitlines()) > 1


def test_a_failure_without_a_word_fails(tmp_path: Path) -> None:
    """There is no compiler, say."""
    assert compiled(tmp_path, "exit 127").returncode == 1


def test_clean_templates_pass(tmp_path: Path, templates: dict[str, Template]) -> None:
    """Every template that no other uses is compiled: the others are compiled with them."""
    assert compiled(tmp_path, "exit 0").returncode == 0
    calls = (tmp_path / "az.calls").read_text()
    used = {module.target for template in templates.values() for module in template.modules}
    assert {f"infra/{file}" for file in set(templates) - used} == set(
        re.findall(r"--file (\S+)", calls)
    )
