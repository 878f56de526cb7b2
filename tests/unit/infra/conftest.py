"""The project's own templates, read once."""

import pytest

from infra.offline.bicep import Template, read_templates


@pytest.fixture(scope="session")
def templates() -> dict[str, Template]:
    """Every Bicep file, by its path from ``infra``."""
    return read_templates()
