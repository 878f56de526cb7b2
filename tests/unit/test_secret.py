"""A credential's type: usable by intent alone."""

import copy
import json
import pickle

import pytest

from shared.secret import Secret
from shared.storage.session_store import SessionNotes

SECRET = Secret("canary", "token")


def test_a_secret_is_revealed_by_one_word_only() -> None:
    """Printed in any way, on its own or inside something else, it is not there."""
    notes = SessionNotes(1, (), upload_url=SECRET)
    shown = [str(SECRET), repr(SECRET), f"{SECRET}", "%s" % SECRET, str([SECRET]), repr(notes)]  # noqa: UP031 (one more way to print)
    assert not [each for each in shown if "canary" in each]
    assert SECRET.reveal() == "canary"


@pytest.mark.parametrize("keep", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps])
def test_a_secret_is_not_serialised(keep: object) -> None:
    """No library keeps it unasked."""
    assert callable(keep)
    with pytest.raises(TypeError):
        keep(SECRET)
