"""Every command fits in the terminal, and cuts no word that could stand whole."""

import re
from contextlib import suppress

import pytest

from claimbench.bench.__main__ import main

COMMANDS = ("list", "list overlock", "show overlock", "show sasrec", "doctor", "weights list", "kernels list",
            "results rules")  # fmt: skip
LONGEST = 16
"""Letters of a word that stands whole beside others at 60 columns."""


def printed(capsys, monkeypatch, command, width):
    monkeypatch.setenv("COLUMNS", str(width))
    with suppress(SystemExit):
        main(command.split())
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_output_fits_and_words_stay_whole(capsys, monkeypatch, tmp_path, command):
    monkeypatch.chdir(tmp_path)
    whole = {word for word in printed(capsys, monkeypatch, command, 400).split() if len(word) <= LONGEST}
    for width in (80, 60):
        out = printed(capsys, monkeypatch, command, width)
        assert max(map(len, out.splitlines())) <= width
        left = set() if command == "list" else whole - set(out.split())  # the list leaves out columns
        assert {word for word in left if not re.search(r"/|GiB|\d\.\d", word)} == set()


def test_a_pipe_without_a_width_is_100_columns_wide(bench):
    assert 90 < max(map(len, bench("kernels", "list", COLUMNS="").stdout.splitlines())) <= 100
