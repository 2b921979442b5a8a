from claimbench.bench.publish.site.merge import merge


def put(root, **files):
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path = path.with_name(f"{path.name}.jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_lines_of_both_are_kept_once(tmp_path):
    put(tmp_path / "a", records__box__r1='{"n":1}\n{"n":2}\n', records__box__r2='{"n":3}\n')
    put(tmp_path / "b", records__box__r1='{"n":1}\n{"n":2}\n{"n":4}\n', records__crate__r3='{"n":5}\n')
    merge(tmp_path / "a", tmp_path / "b", tmp_path / "out")
    records = tmp_path / "out" / "records"
    assert (records / "box" / "r1.jsonl").read_text() == '{"n":1}\n{"n":2}\n{"n":4}\n'
    assert (records / "box" / "r2.jsonl").exists()
    assert (records / "crate" / "r3.jsonl").exists()


def test_the_newest_comes_last_whoever_publishes_it(tmp_path):
    put(tmp_path / "a", kernels__box='{"time":"2026-02-01","v":"new"}\n')
    put(tmp_path / "b", kernels__box='{"time":"2026-01-01","v":"old"}\n')
    merge(tmp_path / "a", tmp_path / "b", tmp_path / "out")
    assert [line[-5:-2] for line in (tmp_path / "out" / "kernels" / "box.jsonl").read_text().splitlines()] == [
        "old",
        "new",
    ]


def test_a_torn_line_is_left_out(tmp_path):
    put(tmp_path / "b", records__box__r1='{"n":1}\n{"n":')
    merge(tmp_path / "nothing", tmp_path / "b", tmp_path / "out")
    assert (tmp_path / "out" / "records" / "box" / "r1.jsonl").read_text() == '{"n":1}\n'


def test_other_folders_are_not_published(tmp_path):
    put(tmp_path / "b", tables__x="{}\n", runs__r="{}\n")
    merge(tmp_path / "nothing", tmp_path / "b", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_studies_and_nights_are_published_and_a_night_that_was_accepted_is_good(tmp_path):
    put(tmp_path / "b", studies__records__box__r='{"n":1}\n')
    for side, status in (("a", "bad"), ("b", "good")):
        path = tmp_path / side / "nights" / "box" / "n.json"
        path.parent.mkdir(parents=True)
        path.write_text(status)
    merge(tmp_path / "a", tmp_path / "b", tmp_path / "out")
    assert (tmp_path / "out" / "studies" / "records" / "box" / "r.jsonl").exists()
    assert (tmp_path / "out" / "nights" / "box" / "n.json").read_text() == "good"
