"""What the unkind engine of the local stack draws."""

import pytest

from infra.local.functions_host.durable.adversities import Adversities


def _drawn(adversities: Adversities) -> list[object]:
    return [
        each
        for _ in range(200)
        for each in (
            adversities.duplicate_after("upload_ranges"),
            adversities.loses_checkpoint("f-1"),
            adversities.timer_lateness("f-1"),
        )
    ]


def test_a_seed_draws_the_same_again() -> None:
    """Every kind fires, at some occasions and not at others."""
    first, again = Adversities(7), Adversities(7)
    drawn = _drawn(first)
    assert drawn == _drawn(again)
    assert {None, 0.0, 2.0, 30.0, True, 5.0, 20.0, 90.0} == set(drawn)
    assert all(10 < first.fired[each] < 100 for each in first.fired)
    assert len(first.fired) == 3


def test_the_name_of_an_engine_is_read() -> None:
    """With a seed, or with one that is drawn."""
    assert Adversities.parse("kind") is None
    seeded = Adversities.parse("unkind:12")
    assert seeded is not None
    assert seeded.seed == 12
    assert Adversities.parse("unkind") is not None


@pytest.mark.parametrize("text", ["", "unkind:", "unkind:x", "kind:7", "cruel", "unkind:-1"])
def test_another_name_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match=f"^{text}$"):
        Adversities.parse(text)
