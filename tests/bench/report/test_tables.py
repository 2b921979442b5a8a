"""Tables from stored records."""

from claimbench.bench.report.report import paper_records
from claimbench.bench.report.tables import write_tables
from claimbench.bench.store.store import Store
from tests.bench.record_examples import record
from tests.bench.report.test_compare import paper

OLD, NEW = "20250101T000000Z-000000", "20260101T000000Z-000000"


def filled(root):
    store = Store(root)
    digest = store.add_environment({"cpu": {"model": "AMD EPYC"}, "libraries": {"torch": "2.8"}})
    store.append(record(value=1, run=OLD, environment=digest), device="NVIDIA H200")
    store.append(record(value=33_467_040, run=NEW, environment=digest), device="NVIDIA H200")
    store.append(record("macs", 5_500_000_000, unit="MAC", run=OLD, environment=digest), device="NVIDIA H200")
    store.append(record("latency", 0.2, unit="s", samples=(0.1, 0.2, 0.3), environment=digest), device="cpu")
    store.append(record(paper="other", subject="other_t"), device="cpu")
    return store


def test_tables_hold_the_newest_of_each_device_and_are_the_same_every_time(tmp_path):
    demo = paper(("params_m", "33"), ("flops_g", "5.5"))
    first = write_tables(filled(tmp_path / "a"), [demo], tmp_path / "tables")
    assert [path.name for path in first] == ["demo.cpu.md", "demo.nvidia-h200.md"]
    page = first[1].read_text()
    assert "33.47 M" in page
    assert "5.5 G" in page
    assert "torch 2.8" in page
    assert OLD in page
    assert "AMD EPYC" in page
    contents = [path.read_bytes() for path in first]
    again = write_tables(Store(tmp_path / "a"), [demo], tmp_path / "again")
    assert [path.read_bytes() for path in again] == contents


def test_what_was_measured_beside_a_paper_belongs_to_its_table(tmp_path):
    store = Store(tmp_path)
    demo = paper(baselines=[{"model": "B", "timm": "b", "reported": []}])
    for subject in ("timm:b", "timm:c", "mine.py:build"):
        store.append(record(paper="", subject=subject, form="", run=NEW), device="cpu")
        store.append(record(paper="", subject=subject, form="", run=OLD), device="cpu")
    store.append(record(run=NEW), device="cpu")
    assert {r.job.subject for r in paper_records(store, demo)} == {"demo_t", "timm:b", "timm:c", "mine.py:build"}
    store.append(record(paper="other", run=NEW), device="cpu")
    assert {r.job.subject for r in paper_records(store, demo)} == {"demo_t", "timm:b"}
    assert paper_records(store, demo, run=OLD) == []
