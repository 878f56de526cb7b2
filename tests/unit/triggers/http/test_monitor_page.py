"""The page's texts match those of README."""

import re
from pathlib import Path
from typing import get_args

from shared.transfer.payloads import State

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "shared/triggers/http/monitor"


def test_the_page_has_advice_for_every_code_of_the_readme() -> None:
    """And for a file that was overwritten, which leaves no record."""
    readme = (ROOT / "README.md").read_text()
    table = readme.partition("| code | what happened | what to do |")[2].partition("\n\n")[0]
    codes = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    advised = re.findall(r"^  (\w+): '", (PAGE / "advice.js").read_text(), re.MULTILINE)
    assert sorted(advised) == sorted([*codes, "Superseded"])


def test_the_page_knows_every_state() -> None:
    """With a symbol of its own."""
    symbols = (PAGE / "list.js").read_text().partition("SYMBOLS = {")[2].partition("}")[0]
    assert re.findall(r"(\w+): '", symbols) == list(get_args(State))
