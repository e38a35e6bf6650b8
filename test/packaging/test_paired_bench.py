"""tools/paired_bench.py: two checkouts in one run."""

from __future__ import annotations

import re

import numpy as np
import paired_bench
import pytest


def test_a_checkout_is_compared_with_itself(capfd) -> None:
    options = [
        "--against",
        str(paired_bench.ROOT),
        "--rounds",
        "2",
        "--frames",
        "3",
        "--targets",
        "2",
    ]
    options += ["--set", "engine=torch", "--set", "size=lite"]
    # What takes as long as before is slower than a thousandth of that.
    assert paired_bench.main([*options, "--at-most", "0.001"]) == 1
    out = capfd.readouterr().out
    assert "duml, torch fp32" in out or "duml, torch bf16" in out
    assert "boxes of both: the same to the last bit" in out
    assert re.search(r"processor +[\d.]+ ms against +[\d.]+ ms an update: ratio [\d.]+", out)


def test_the_ratio_is_taken_round_by_round() -> None:
    theirs = np.array([1.0, 2.0, 4.0, 8.0])
    text = paired_bench.summary(1.1 * theirs, theirs)
    assert "ratio 1.1000 +- 0.0000, quartiles 1.1000 to 1.1000" in text


@pytest.mark.parametrize(
    ("against", "words"),
    [("no-such-commit", "name a commit"), (str(paired_bench.ROOT / "docs"), "is no checkout")],
)
def test_what_cannot_be_compared_is_named(capsys, against, words) -> None:
    assert paired_bench.main(["--against", against]) == 1
    assert words in capsys.readouterr().err
