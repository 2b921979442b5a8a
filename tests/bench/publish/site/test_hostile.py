"""A store in which every text is an attack: nothing of it runs, and every page still opens."""

import json

import orjson
import pytest

from claimbench.bench.core.records import Job, Measurement, Options, Record, Settings
from claimbench.bench.papers.spec import Paper
from claimbench.bench.publish.site.generate import build
from claimbench.bench.publish.site.source import SiteSource
from claimbench.bench.store.night_files import save
from claimbench.bench.store.store import Store
from tests.bench.publish.site.site_examples import MODELS, demo_paper, fill, hostile, kernel_line, night


def hostile_paper():
    """A paper whose every free text is hostile."""
    reported = {
        "metric": "params_m", "value": "10", "source": hostile("source"), "device": hostile("device"),
        "precision": hostile("precision"), "note": hostile("note"),
    }  # fmt: skip
    return Paper.model_validate(
        {
            "id": "evil",
            "title": hostile("title"),
            "task": "image-classification",
            "arxiv": '"><script>window.pwned=1</script>',
            "venue": hostile("venue"),
            "official": {"repo": "javascript:window.pwned='repo'//", "commit": "x", "license": hostile("license")},
            "variants": [
                {
                    "name": "evil_t",
                    "note": hostile("variant"),
                    "checkpoint": {"url": "https://evil.example/\"><script>window.pwned='checkpoint'</script>"},
                    "reported": [reported, {**reported, "metric": "throughput_img_s", "value": "5"}],
                }
            ],
            "baselines": [{"model": hostile("baseline"), "timm": hostile("timm"), "reported": [reported]}],
            "claims": [{"id": "c", "text": hostile("claim"), "source": hostile("place"), "needs": hostile("needs")}],
            "deviations": [{"text": hostile("deviation"), "source": hostile("deviation source")}],
            "downstream": [
                {"model": hostile("model"), "metric": hostile("metric"), "value": 1, "dataset": hostile("set")}
            ],
        }
    )


def hostile_store(root):
    store = Store(root)
    fill(store, runs=1)
    bad = {hostile("fact"): hostile("value"), "__proto__": {"pwned": 1}, "cpu": {"model": hostile("cpu")}}
    environment = store.add_environment(bad)
    settings = Settings(
        device=hostile("setting"),
        batch=4,
        precision=hostile("precision"),
        mode=hostile("mode"),
        weights=hostile("weights"),
    )
    records = []
    for paper, subject in (
        ("evil", "evil_t"),
        ("evil", hostile("subject")),
        (hostile("unknown"), "__proto__"),
        ("", f"timm:{hostile('timm')}"),
    ):
        for metric in ("params", "throughput", "top1", hostile("metric")):
            job = Job(paper, subject, hostile("form"), metric, settings, 0, Options(sample_shape=(3, 224, 224)))
            detail = {"note": hostile("detail"), "classes": 10, "noisy_reasons": [hostile("noise")]}
            measured = Measurement(metric, 12.5, hostile("unit"), hostile("method"), low=12.0, high=13.0, detail=detail)
            records.append(
                Record("20260105T000000Z-aaaaaa", job, measured, environment, hostile("commit"), hostile("time"))
            )
            failed = Measurement.missing(metric, "x", hostile("reason"), failed=True)
            records.append(Record("20260106T000000Z-aaaaaa", job, failed, environment, hostile("commit"), "2026-01-06"))
    for record in records:
        store.append(record, device="box")
    folder = root / "records" / "<img src=x onerror=window.pwned=1>"
    folder.mkdir()
    (folder / "20260107T000000Z-aaaaaa.jsonl").write_bytes(
        (root / "records" / "box" / "20260105T000000Z-aaaaaa.jsonl").read_bytes()
    )
    line = kernel_line(
        **{
            name: hostile(name)
            for name in ("operator", "case", "implementation", "reason", "bound", "method", "device", "dtype")
        }
    )
    (root / "kernels").mkdir()
    wrong = [
        {name: value}
        for name in ("seconds", "against", "ceiling", "flops", "memory")
        for value in ("<b>", [1], {"a": 1}, True, 1e308)
    ]
    lines = [line, *({**line, **changes} for changes in wrong)]
    (root / "kernels" / "<script>window.pwned=1<_script>.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    texts = {name: hostile(f"night {name}") for name in ("commit", "summary")}
    lists = {name: [hostile(f"night {name}")] for name in ("regressions", "failed")}
    save(root, night("20260108T000000Z-aaaaaa", **texts, **lists))
    save(root, night("20260109T000000Z-aaaaaa", regressions={"a": 1}, failed="<b>"))
    (root / "claims").mkdir()
    outcome = {"verdict": hostile("verdict"), "evidence": hostile("evidence"), "limits": hostile("limits")}
    (root / "claims" / "evil.jsonl").write_text(json.dumps({"run": "x", "claims": {"c": outcome}}) + "\n")
    return store


@pytest.fixture(scope="module")
def evil(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evil")
    hostile_store(folder / "results")
    source = SiteSource(folder / "results", [demo_paper(), hostile_paper()], {hostile("broken"): hostile("problem")})
    build(source, folder / "out")
    return folder / "out"


def pages(site):
    return sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))


def test_every_page_opens_and_nothing_runs(page, evil):
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    assert len(pages(evil)) >= 9
    for path in pages(evil):
        page.goto((evil / path).as_uri())
        page.wait_for_load_state("networkidle")
        for button in page.locator("button.evidence").all()[:3]:
            button.click()
            page.keyboard.press("Escape")
        page.wait_for_function("!document.querySelector('dialog')")  # one that closes takes its own summary with it
        for summary in page.locator("summary").all()[:6]:
            summary.click()
        for box in page.locator("input[type=search]").all():
            box.fill("<img src=x onerror=window.pwned=1> & window")
            box.fill("")
        for button in page.locator("[data-export]").all():
            button.click()
            page.keyboard.press("Escape")
        assert page.evaluate("window.pwned") is None, path
        assert page.evaluate("({}).pwned") is None, path
        assert page.locator("img, iframe, object, embed, form[action], [onerror], [onload]").count() == 0, path
        assert page.complaints == [], path
    assert dialogs == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in page.requested)


def test_links_go_only_where_the_web_is(page, evil):
    for path in pages(evil):
        page.goto((evil / path).as_uri())
        schemes = page.eval_on_selector_all("a[href]", "links => links.map(link => link.protocol)")
        assert set(schemes) <= {"file:", "https:"}


def test_a_hostile_address_is_only_text(page, evil):
    attack = (
        "q=<img src=x onerror=window.pwned=1>&model=<svg onload=window.pwned=1>&sort=-__proto__&x=__proto__"
        "&y=constructor&models=a|b&row=<b>"
    )
    for path in ("papers/evil.html", "compare.html", "index.html"):
        page.goto(f"{(evil / path).as_uri()}#{attack}")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.pwned") is None
        assert page.complaints == []


def test_even_a_script_that_got_into_a_page_would_not_run(page, evil, tmp_path):
    text = (evil / "about.html").read_text()
    bad = evil / "injected.html"
    bad.write_text(
        text.replace("</main>", "<script>window.pwned=1</script><img src=x onerror='window.pwned=2'></main>")
    )
    page.goto(bad.as_uri())
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.pwned") is None
    bad.unlink()


def test_file_names_are_plain(evil):
    import re

    for path in evil.rglob("*"):
        assert re.fullmatch(r"[A-Za-z0-9._-]+", path.name), path


def test_no_page_says_where_the_records_lie(evil):
    for path in (*evil.rglob("*.html"), *(evil / "data").glob("*.js")):
        assert str(evil.parent) not in path.read_text()


@pytest.mark.parametrize(
    "wrong",
    [
        {"detail": {"goldens": 5}},
        {"detail": {"goldens": [{"name": "no file"}]}},
        {"detail": {"noisy_reasons": 3}},
        {"settings": {"batch": []}},
        {"settings": {"batch": "many", "precision": 7}},
        {"settings": {"input_size": ["a", None]}},
        {"value": 0},
        {"value": -5},
        {"value": 1e308, "low": -1e308},
        {"options": {"sample_shape": "wide"}},
        {"options": {"sample_shape": [[1], [2], [3]]}},
    ],
)
def test_a_record_that_makes_no_sense_is_told_and_harms_no_other(tmp_path, wrong):
    store = Store(tmp_path / "results")
    fill(store, runs=1)
    (path,) = (tmp_path / "results" / "records" / "box").glob("*.jsonl")
    line = orjson.loads(next(line for line in path.read_bytes().splitlines() if b'"metric":"throughput"' in line))
    line["measurement"].update({name: value for name, value in wrong.items() if name in ("detail", "value", "low")})
    line["job"]["settings"].update(wrong.get("settings", {}))
    line["job"]["options"].update(wrong.get("options", {}))
    line["samples_key"] = ""
    path.with_name("20260109T000000Z-aaaaaa.jsonl").write_bytes(orjson.dumps(line) + b"\n")
    build(SiteSource(tmp_path / "results", [demo_paper()]), tmp_path / "out")
    data = (tmp_path / "out" / "data" / "paper-demo.js").read_text()
    assert all(name in data for name in MODELS)
