"""Help pages and wrong usage: whole words in any width, and one sentence."""

import re

import pytest
import typer

from claimbench.bench.__main__ import main
from claimbench.bench.cli.app import app
from claimbench.bench.cli.help import PANELS, is_flag


def commands(group, *path):
    """Every command and group below one, with its path."""
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *path, name)


ALL = dict(commands(typer.main.get_command(app)))
SINGLE = {path: command for path, command in ALL.items() if not hasattr(command, "commands")}


def said(capsys, *arguments, status=0):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == status
    return capsys.readouterr()


@pytest.mark.parametrize("width", [60, 80])
def test_help_fits_in_the_terminal_and_no_word_is_cut(capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    for path, command in ALL.items():
        out = said(capsys, *path, "--help").out
        assert max(map(len, out.splitlines())) <= width, path
        words = set(re.split(r"[\s│,]+", out))
        for param in command.params:
            assert set(re.split(r"[\s,]+", param.help or "")) - {""} <= words, (path, param.name)


def test_help_is_100_columns_wide_where_nothing_says_more(bench):
    out = bench("run", "--help", COLUMNS="").stdout
    assert max(map(len, out.splitlines())) == 100


@pytest.mark.parametrize("path", SINGLE, ids=" ".join)
def test_every_option_has_a_panel_and_a_word_for_its_value(path):
    for param in SINGLE[path].params:
        if param.param_type_name == "option":
            assert param.rich_help_panel in PANELS, param.name
            assert is_flag(param) or param.metavar == param.metavar.replace("<", "") != "", param.name
        else:
            assert param.metavar, param.name


def test_bench_alone_says_what_to_type_first(capsys):
    out = said(capsys).out
    assert "bench run overlock" in out
    assert len(out.splitlines()) < 12


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("rnu", "unknown command 'rnu'; did you mean run"),
        ("kernels bnch", "unknown command 'bnch'; did you mean bench?"),
        ("show", "PAPER is missing; `bench show --help` says more"),
        ("verify", "--golden is missing; `bench verify --help` says more"),
        ("train", "say which paper, once: bench train PAPER"),
        ("train van --paper van", "say which paper, once: bench train PAPER"),
        ("run van --metrcs flops", "unknown option '--metrcs'; did you mean --metrics"),
        ("run van --xyzzy", "unknown option '--xyzzy'; `bench run --help` lists them"),
        ("--xyzzy", "unknown option '--xyzzy'; `bench --help` lists them"),
        ("run van --rounds", "option '--rounds' requires an argument"),
        ("run van --rounds x", "--rounds: 'x' is not a whole number from 1 to 100; `bench run --help` says more"),
        ("run van --rounds 0", "--rounds: '0' is not a whole number from 1 to 100; `bench run --help` says more"),
        ("run van --timeout nan", "--timeout: 'nan' is not a number from 0.001 to 3.1536e+07; `bench run --help`"),
        ("doctor x", "got unexpected extra argument(s) (x); `bench doctor --help` says more"),
    ],
)
def test_wrong_usage_is_one_sentence(capsys, arguments, sentence):
    told = said(capsys, *arguments.split(), status=2)
    assert told.out == ""
    assert told.err.startswith(f"bench: {sentence}")
    assert len(told.err.splitlines()) == 1


def test_a_group_alone_prints_its_commands_and_counts_as_wrong_usage(capsys):
    assert "check" in said(capsys, "kernels", status=2).out


def test_options_take_whole_numbers_and_pass_them_on(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    told = said(capsys, "kernels", "bench", "--rounds", "2", "--threads", "3", "--operator", "layer_nrm", status=2)
    assert "unknown operator 'layer_nrm'" in told.err
