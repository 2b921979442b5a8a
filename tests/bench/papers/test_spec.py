"""Tables and networks that cannot be built in ``paper.yaml``."""

import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.papers import registry
from claimbench.bench.papers.spec import Paper, load
from claimbench.bench.report.compare import compare_figures

FACTS = {
    "id": "p",
    "title": "t",
    "task": "image-classification",
    "variants": [{"name": "small"}],
    "unbuilt": [
        {
            "name": "large",
            "why": "its sizes are not known",
            "reported": [{"metric": "top1", "value": 90, "source": "s"}],
        }
    ],
    "baselines": [{"model": "Other"}],
    "tables": [
        {
            "title": "Accuracy",
            "metric": "accuracy_{}",
            "source": "Table 1",
            "rows": ["hat", "average"],
            "columns": {"Other": [70, "70.0"], "small": [80, None], "large": [90, 91]},
        }
    ],
}


def test_the_cells_of_a_table_are_reported_figures_of_its_models():
    paper = Paper.model_validate(FACTS)
    assert [(f.metric, f.value, f.source) for f in paper.variants[0].reported] == [
        ("accuracy_hat", "80", "Table 1"),
        ("accuracy_average", None, "Table 1"),
    ]
    assert [f.value for f in paper.unbuilt[0].reported] == ["90", "90", "91"]
    assert [f.value for f in paper.baselines[0].reported] == ["70", "70.0"]


def test_a_paper_that_was_written_out_is_read_again_as_it_was():
    paper = Paper.model_validate(FACTS)
    assert Paper.model_validate(paper.model_dump(mode="json")) == paper


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": {"Other": [70]}}, "Other has 1 figures for 2 rows"),
        ({"columns": {"Stranger": [70, 70]}}, "a table has a column for 'Stranger'"),
        ({"metric": "accuracy"}, "tables.0.metric"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path, change, message):
    import yaml

    file = tmp_path / "paper.yaml"
    file.write_text(yaml.safe_dump({**FACTS, "tables": [{**FACTS["tables"][0], **change}]}))
    with pytest.raises(UserError, match=message):
        load(file)


def test_a_network_that_cannot_be_built_is_rows_that_say_so():
    rows = compare_figures(Paper.model_validate(FACTS), [])
    own = [row for row in rows if row.subject == "large"]
    assert [(row.metric, row.reported.split()[0], row.verdict) for row in own] == [
        ("top1", "90", "not measured"),
        ("accuracy_hat", "90", "not measured"),
        ("accuracy_average", "91", "not measured"),
    ]
    assert {row.detail for row in own} == {"cannot be built: its sizes are not known"}


def test_its_name_is_taken():
    with pytest.raises(ValueError, match="variant names must be unique, repeated: large"):
        Paper.model_validate({**FACTS, "variants": [{"name": "small"}, {"name": "large"}]})


@pytest.mark.parametrize(("paper", "figures"), [("lnet_anet", 552), ("atr", 51)])
def test_show_prints_every_cell(bench, paper, figures):
    shown = bench("show", paper)
    assert shown.returncode == 0
    tables = registry.paper(paper).tables
    assert sum(len(table.rows) * len(table.columns) for table in tables) == figures
    lines = [line.split() for line in shown.stdout.splitlines()]
    for table in tables:
        for row, *values in zip(table.rows, *table.columns.values(), strict=True):
            assert [row, *values] in lines
