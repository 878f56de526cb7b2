import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.outlook.byte_ranges import ByteRange, next_expected_range

EXAMPLES = json.loads(Path("tests/data/seed_examples.json").read_text())
CASES = EXAMPLES["next_expected_ranges"]["cases"]
TOTAL = 3_483_322


@pytest.mark.parametrize("key", ["nextExpectedRanges", "NextExpectedRanges", "NEXTEXPECTEDRANGES"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["value"]))
def test_forms_of_the_seed_documents(key: str, case: dict[str, object]) -> None:
    """Every form that the documents show is understood, whatever the case of the key."""
    found = next_expected_range({key: case["value"]}, TOTAL)
    assert (found.start if found else None) == case["start"]


def test_an_entry_with_an_end_is_taken_to_its_end() -> None:
    """Only that entry's bytes are missing; both ends belong to it."""
    found = next_expected_range({"nextExpectedRanges": ["1998457-2097094"]}, TOTAL)
    assert found == ByteRange(1_998_457, 2_097_095)


def test_of_several_entries_the_lowest_counts() -> None:
    """Malformed entries are passed over."""
    body = {"NextExpectedRanges": ["oops", "3000000-", "10-19", "2097152"]}
    assert next_expected_range(body, TOTAL) == ByteRange(10, 20)


@pytest.mark.parametrize(
    "value",
    [None, 7, {}, [7], ["1-", None][1:], ["20-10"], ["0-3483322"], ["٣"], ["0-5-9"], ["9" * 16]],
)
def test_what_makes_no_sense_says_nothing(value: object) -> None:
    """No guess is made from another type, a backward range, or bytes past the end."""
    assert next_expected_range({"nextExpectedRanges": value}, TOTAL) is None


def test_a_range_at_the_end_is_empty() -> None:
    """The server has every byte; that alone does not say that the file is attached."""
    found = next_expected_range({"nextExpectedRanges": ["3483322"]}, TOTAL)
    assert found is not None
    assert found.length == 0


def test_content_range_counts_inclusively() -> None:
    """The header names the first and the last byte."""
    assert ByteRange(0, 2_097_152).content_range(TOTAL) == "bytes 0-2097151/3483322"


@given(st.integers(0, TOTAL), st.integers(0, TOTAL))
def test_what_a_server_may_say_is_read_back(start: int, stop: int) -> None:
    """Any well-formed range inside the file is understood as it is meant."""
    if stop <= start:
        return
    found = next_expected_range({"nextExpectedRanges": [f"{start}-{stop - 1}"]}, TOTAL)
    assert found == ByteRange(start, stop)


@given(st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=5))
def test_no_answer_breaks_the_parser(value: object) -> None:
    """Whatever stands there, the result is a range within the file or nothing."""
    found = next_expected_range({"nextExpectedRanges": value}, TOTAL)
    assert found is None or 0 <= found.start <= found.stop <= TOTAL
