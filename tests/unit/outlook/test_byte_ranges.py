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
def test_documented_forms(key: str, case: dict[str, object]) -> None:
    """Every documented form is read, with the key in any case."""
    found = next_expected_range({key: case["value"]}, TOTAL)
    assert (found.start if found else None) == case["start"]


@pytest.mark.parametrize("value", [["1998457-2097094"], "1998457-2097094"])
def test_a_range_with_an_end(value: object) -> None:
    """Only its bytes are missing; both ends are inclusive. A single one may come without list."""
    found = next_expected_range({"nextExpectedRanges": value}, TOTAL)
    assert found == ByteRange(1_998_457, 2_097_095)


def test_the_lowest_of_several_ranges_counts() -> None:
    """Malformed ranges are ignored."""
    body = {"NextExpectedRanges": ["oops", "3000000-", "10-19", "2097152"]}
    assert next_expected_range(body, TOTAL) == ByteRange(10, 20)


@pytest.mark.parametrize(
    "value",
    [None, 7, {}, [7], ["1-", None][1:], ["20-10"], ["0-3483322"], ["٣"], ["0-5-9"], ["9" * 16]],
)
def test_invalid_values_are_no_range(value: object) -> None:
    """Another type, a reversed range, or bytes past the end."""
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
def test_valid_ranges_are_read(start: int, stop: int) -> None:
    """Any valid range within the file."""
    if stop <= start:
        return
    found = next_expected_range({"nextExpectedRanges": [f"{start}-{stop - 1}"]}, TOTAL)
    assert found == ByteRange(start, stop)


@given(st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=5))
def test_no_response_breaks_the_parser(value: object) -> None:
    """For any value, the result is a range within the file or none."""
    found = next_expected_range({"nextExpectedRanges": value}, TOTAL)
    assert found is None or 0 <= found.start <= found.stop <= TOTAL
