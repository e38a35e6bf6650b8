"""docs/faults.md names tests that are there, and misses no kind."""

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = (TESTS.parent / "docs" / "faults.md").read_text(encoding="utf-8")


def test_every_test_that_the_page_names_is_there():
    named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) > 100
    for file, test in named:
        path = TESTS / file.removeprefix("test/")
        assert path.is_file(), file
        assert not test or f"def {test}(" in path.read_text(encoding="utf-8"), (file, test)


def test_every_kind_has_places_with_tests():
    kinds = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    assert [int(kind.split(".")[0]) for kind in kinds] == list(range(1, 19))
    for kind in kinds:
        rows = [line for line in kind.splitlines() if line.startswith("| ")][1:]
        assert rows, kind
        assert all("test_" in row for row in rows), rows
