"""The tidy table: every row with typed values, the same in all formats, and nothing in it is obeyed."""

import csv
import io
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import Settings
from claimbench.bench.report.export import ExportedRow, exported, frame
from claimbench.bench.report.render import render_all, tidy
from claimbench.bench.report.report import report
from tests.bench.record_examples import record
from tests.bench.report.test_compare import A100, paper, timed
from tests.bench.report.test_render import HOSTILE, example
from tests.bench.report.test_speed import around

FLOATS = ("reported", "measured", "low", "high", "relative")
COUNTS = ("batch", "threads", "rounds", "samples")


def one(rows, **wanted):
    found = [row for row in rows if all(getattr(row, name) == value for name, value in wanted.items())]
    assert len(found) == 1, found
    return found[0]


def read(text, **options):
    return pd.read_csv(io.StringIO(text), dtype_backend="numpy_nullable", parse_dates=["date"], **options)


@pytest.mark.parametrize(
    ("reported", "measured", "metric", "unit", "number", "value"),
    [
        (("params_m", "33"), record(), "params", "params", 33e6, 33_467_040),
        (("params_k", "206.9"), record(value=206_850), "params", "params", 206_900, 206_850),
        (("params_exact", "33467040"), record(), "params", "params", 33_467_040, 33_467_040),
        (("params", "33467040"), record(), "params", "params", 33_467_040, 33_467_040),
        (("flops_g", "5.5"), record("macs", 5_619_503_832, unit="MAC"), "macs", "MAC", 5.5e9, 5_619_503_832),
        (
            ("flops", "5619503832"),
            record("macs", 5_619_503_832, unit="MAC"),
            "macs",
            "MAC",
            5_619_503_832,
            5_619_503_832,
        ),
        (("imagenet1k_top1", "84.20"), record("top1", 84.16, unit="%"), "top1", "%", 84.2, 84.16),
        (("latency_ms", "12"), record("latency", 0.0118, unit="s"), "latency", "s", 0.012, 0.0118),
        (("memory_mib", "2"), record("memory_with_weights", 2**20, unit="B"), "memory_with_weights", "B", 2**21, 2**20),
    ],
)
def test_a_metric_has_one_name_and_one_unit_however_it_is_printed(reported, measured, metric, unit, number, value):
    row = one(exported([report(paper(reported), [measured])]), metric=metric)
    assert (row.unit, row.reported, row.measured, row.reported_as) == (unit, number, value, reported[0])
    assert row.reported_text.split()[0] == reported[1]


def test_figures_that_nobody_reports_are_in_the_same_units():
    records = [
        record(),
        record("flops", 11e9, unit="FLOP"),
        record("latency", 0.0118, unit="s", settings=Settings(batch=1, threads=2, mode="compile")),
        record("memory_training", 2**30, unit="B", settings=Settings(training=True, batch=8)),
    ]
    rows = exported([report(paper(), records)])
    found = {row.metric: (row.measured, row.unit, row.reported, row.reported_as) for row in rows}
    assert found == {
        "params": (33_467_040, "params", None, ""),
        "flops": (11e9, "FLOP", None, ""),
        "latency": (0.0118, "s", None, ""),
        "memory_training": (2**30, "B", None, ""),
    }
    latency = one(rows, metric="latency")
    assert (latency.batch, latency.threads, latency.mode, latency.precision) == (1, 2, "compile", "fp32")
    count = one(rows, metric="params")
    assert (count.batch, count.threads, count.mode, count.precision) == (None, None, "", ""), "they change no count"


def test_every_row_is_a_line_with_its_circumstances():
    demo = report(
        paper(
            ("params_m", "33"),
            ("imagenet1k_top1", "84.2"),
            variants=[
                {
                    "name": "demo_t",
                    "pretraining": "ImageNet-22K",
                    "reported": [
                        {"metric": "params_m", "value": "33", "source": "Table 1"},
                        {"metric": "imagenet1k_top1", "value": "84.2", "source": "Table 2"},
                    ],
                },
            ],
        ),
        [record(), *timed(10, around(0.1))],
    )
    rows = exported([demo, example()])
    assert len(rows) == len(demo.rows) + len(example().rows)
    params = one(rows, metric="params", model="demo_t", pretraining="ImageNet-22K")
    assert (params.paper, params.form, params.task) == ("demo", "merged", "image-classification")
    assert (params.device, params.commit) == ("cpu", "abc1234")
    assert params.date == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (params.verdict, params.degree, params.source) == ("within rounding", "holds", "Table 1")
    unmeasured = one(rows, metric="top1", pretraining="ImageNet-22K")
    assert (unmeasured.reported, unmeasured.measured, unmeasured.date, unmeasured.device) == (84.2, None, None, "")
    assert (unmeasured.form, unmeasured.task, unmeasured.verdict) == ("merged", "image-classification", "not measured")
    speed = one(rows, metric="throughput", model="demo_t", pretraining="ImageNet-22K")
    assert (speed.unit, speed.input_size, speed.batch, speed.precision) == ("img/s", "224x224 px", A100.batch, "fp16")
    assert speed.low <= speed.measured <= speed.high
    assert (speed.rounds, speed.samples) == (3, 120)


def test_networks_have_their_own_task_and_figures_on_other_tasks_have_none():
    network = {
        "name": "demo_net",
        "task": "object-detection",
        "config": {"backbone": "demo_t", "network": "Mask R-CNN"},
    }
    network["reported"] = [{"metric": "coco_box_ap", "value": "45.0", "source": "T"}]
    other = {"metric": "fid_50k", "value": "2.1", "dataset": "made up", "source": "T"}
    rows = exported([report(paper(networks=[network], downstream=[other]), [])])
    assert one(rows, metric="coco_box_ap").task == "object-detection"
    fid = one(rows, metric="fid_50k")
    assert (fid.task, fid.reported, fid.conditions) == ("", 2.1, "made up")


def test_a_reported_speed_up_is_a_number_too():
    speed = {"metric": "throughput_img_s", "device": "V100", "source": "Table 4"}
    demo = paper(
        {**speed, "value": "300"},
        baselines=[{"model": "Other-B", "timm": "other", "reported": [{**speed, "value": "200"}]}],
    )
    records = [*timed(10, around(0.1)), *timed(10, around(0.15), subject="timm:other", form="")]
    ratio = one(exported([report(demo, records)]), metric="throughput_ratio")
    assert ratio.model == "demo_t / Other-B"
    assert ratio.reported == 1.5
    assert ratio.measured == pytest.approx(1.5, rel=0.02)


def test_pandas_reads_csv_with_the_types_of_the_table():
    table = read(render_all([example()], "csv"))
    made = frame(exported([example()]))
    assert list(table.columns) == list(made.columns)
    assert len(table) == len(made)
    for name in table:
        if made[name].notna().any() and (made[name] != "").fillna(False).any():
            assert table[name].dtype == made[name].dtype or (name == "date" and table[name].dt.tz is not None), name
    for name in FLOATS:
        assert made[name].dtype == "Float64"
        assert table[name].astype("Float64").equals(made[name]), name
    for name in COUNTS:
        assert made[name].dtype == "Int64"
    assert made["date"].dtype == "datetime64[us, UTC]"
    assert (table["date"].dropna() == made["date"].dropna()).all()
    assert made["paper"].dtype == "string"
    plain = pd.read_csv(io.StringIO(render_all([example()], "csv")))
    assert plain["measured"].dtype == "float64"


def test_types_do_not_depend_on_the_rows():
    assert (frame([]).dtypes == frame(exported([example()])).dtypes).all()


def test_several_papers_make_one_csv_table_with_one_header():
    other = replace(example(), paper="other")
    text = render_all([example(), other], "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["paper"] for row in rows} == {"demo", "other"}
    assert len(rows) == 2 * len(example().rows)
    assert text.count("reported_text") == 1
    assert {row["date"] for row in rows} <= {"", "2026-01-02T03:04:05Z"}


def test_csv_runs_no_formulas_whatever_the_width_of_their_signs():
    names = ("=HYPERLINK(1)", "+1", "-1", "@x", "\t=1", " =2", "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20x", "\ufe66 1")
    records = [record(subject=name, paper="", form="") for name in (*names, 'quote"', "a,b", "x\r\ny")]
    rows = list(csv.DictReader(io.StringIO(render_all([report(paper(), records)], "csv"))))
    models = [row["model"] for row in rows]
    assert len(models) == len(records)
    assert sum(model.startswith("'") for model in models) == len(names)
    assert {'quote"', "a,b", "x y"} <= set(models)
    assert not any(cell.startswith(tuple("=+-@\uff1d")) for row in rows for cell in row.values())


def test_json_and_parquet_hold_what_the_table_holds():
    pytest.importorskip("pyarrow")
    rows = exported([example()])
    table = frame(rows)
    read_back = pd.read_parquet(io.BytesIO(tidy.content(rows, ".parquet")))
    pd.testing.assert_frame_equal(read_back, table, check_dtype=False)
    assert [str(kind) for kind in read_back.dtypes] == [str(kind) for kind in table.dtypes]
    data = json.loads(tidy.content(rows, ".json"))
    assert [set(entry) for entry in data] == [set(table.columns)] * len(rows)
    params = next(entry for entry in data if entry["metric"] == "params" and entry["measured"])
    assert (params["reported"], params["measured"], params["low"]) == (33e6, 33_467_040, None)
    assert params["date"] == "2026-01-02T03:04:05Z"


@pytest.mark.parametrize("ending", tidy.ENDINGS)
def test_hostile_texts_and_numbers_control_nothing_and_stop_nothing(ending):
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    records = [
        record(subject=f"x\ud800{HOSTILE}", paper="", form="", time="no time"),
        record(
            "throughput",
            10,
            unit="img/s",
            settings=Settings(batch=10**30, threads=2**63),
            time="0001-01-01T00:00:00+23:00",
        ),
    ]
    rows = exported([report(paper(), records)])
    assert [row.date for row in rows] == [None] * len(rows)
    assert one(rows, metric="throughput").batch is None
    content = tidy.content(rows, ending)
    if ending != ".parquet":
        assert not set(content.decode()) & set("\x1b\x07\u202e")


def test_a_number_that_no_float_can_be_is_left_out():
    huge = replace(example().rows[0], value=10**400, low=float("nan"), high=float("inf"), figure=None)
    [row] = exported([replace(example(), rows=(huge,))])
    assert (row.measured, row.low, row.high) == (None, None, None)
    tidy.content([row], ".json")


def test_a_missing_package_and_another_ending_are_one_sentence(monkeypatch):
    with pytest.raises(UserError, match=r"\.csv, \.json, \.parquet"):
        tidy.check(Path("figures.xlsx"))
    tidy.check(Path("figures.json"))  # needs no further package
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pip install 'claimbench\[parquet\]'"):
        tidy.check(Path("figures.parquet"))


def test_the_docs_name_every_column():
    text = (Path(__file__).parents[3] / "docs" / "export.md").read_text(encoding="utf-8")
    assert [name for name in ExportedRow.__annotations__ if f"`{name}`" not in text] == []
