"""What is printed fits in the terminal, and words stay whole where they can."""

import io

import pytest
from rich.console import Console

from claimbench.bench.core.terminal import entry, shares, table


def test_an_entry_wraps_below_its_text(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    assert entry("name", "some words that do not fit on it", 8).splitlines() == [
        "name    some words that do not",
        "        fit on it",
    ]
    assert entry("a name too long", "and its text", 8).splitlines() == ["a name too long", "        and its text"]
    assert entry("name", "", 8) == "name"


ROWS = [("Name", "Text"), ("a", "words and more words"), ("a-long-name", "one")]


@pytest.mark.parametrize(
    ("width", "expected"),
    [(80, [11, 20]), (33, [11, 20]), (32, [11, 19]), (18, [11, 5]), (16, [9, 5]), (8, [3, 3])],
)
def test_columns_share_the_width_so_that_words_stay_whole(width, expected):
    assert shares(ROWS, width) == expected


@pytest.mark.parametrize("width", [80, 33, 21, 10])
def test_a_table_is_never_wider_than_the_terminal(width):
    console = Console(file=io.StringIO(), width=width)
    console.print(table(ROWS[0], [*ROWS[1:], ("[b]", "[markup]")], width, right=("Text",)))
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "[b]" in text
    if width >= 21:
        assert {"words", "and", "more", "a-long-name", "one"} <= set(text.split())
