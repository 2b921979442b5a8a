"""The findings of the first page, the badges, the feed, and the addresses that pages give of themselves."""

import json
import xml.etree.ElementTree as xml

import pytest
from PIL import Image

from claimbench.bench.core.errors import UserError
from claimbench.bench.papers.spec import Paper
from claimbench.bench.publish.site.badges import badge, badge_text
from claimbench.bench.publish.site.front import findings
from claimbench.bench.publish.site.gather import gather
from claimbench.bench.publish.site.generate import build
from claimbench.bench.publish.site.nights import night_lines
from claimbench.bench.publish.site.source import SiteSource, github_pages, web_address
from claimbench.bench.report.tally import tally
from claimbench.bench.store import outcomes
from claimbench.bench.store.outcomes import Outcome
from claimbench.bench.store.store import Store
from tests.bench.publish.site.site_examples import demo_paper, demo_source, fill, night
from tests.bench.record_examples import record

ATOM = "{http://www.w3.org/2005/Atom}"


def measured(root, paper=None):
    fill(Store(root), runs=1)
    return gather(Store(root), [paper or demo_paper()])


def explained(paper):
    """The demo paper, whose counter is known to leave out a fifth."""
    deviation = {"text": "norms", "source": "a", "metrics": ["flops_g"], "relative": [-0.3, 0.0]}
    return Paper.model_validate({**paper.model_dump(mode="json"), "deviations": [deviation]})


def test_what_is_explained_is_not_off(tmp_path):
    (result,) = measured(tmp_path / "off").papers
    assert tally(result.report.rows)["off"] == 5
    (result,) = measured(tmp_path / "explained", explained(demo_paper())).papers
    found = tally(result.report.rows)
    assert (found["holds"], found["explained"], found["off"]) == (5, 5, 0)


def test_parity_is_no_figure_that_holds(tmp_path):
    fill(Store(tmp_path), runs=1)
    before = tally(gather(Store(tmp_path), [demo_paper()]).papers[0].report.rows)
    for subject, passed in (("demo_t", True), ("demo_s", False)):
        row = record(
            "parity", 1e-6, subject=subject, form="model", unit="", detail={"passed": passed}, run="20260101T0Z-0"
        )
        Store(tmp_path).append(row, device="box")
    after = tally(gather(Store(tmp_path), [demo_paper()]).papers[0].report.rows)
    assert (after["parity"], after["compared"]) == (1, 2)
    assert {name: after[name] for name in ("holds", "off")} == {name: before[name] for name in ("holds", "off")}


def test_the_furthest_off_and_the_broken_claims_come_first(tmp_path):
    outcomes.save(tmp_path, "demo", "r", {"fast": Outcome("failed", "it crashed", "")})
    found = findings(measured(tmp_path))
    (off,) = found.off
    assert (off.count, off.worst.subject, off.worst.reported) == (5, "demo_t", "2.5 G")
    assert found.claims == (("demo", "It is fast.", "failed"),)


def test_speeds_against_the_official_code_are_told_from_our_side(tmp_path):
    store = Store(tmp_path)
    for subject, speed in (("official_demo.py:build", 50.0), ("demo_t", 100.0)):
        for number in range(3):
            samples = tuple(8 / speed * (1 + 0.001 * i) for i in range(-6, 7))
            row = record(
                "throughput", speed, subject=subject, form="model", unit="img/s", round=number, samples=samples
            )
            store.append(row, device="box")
    (speed,) = findings(gather(Store(tmp_path), [demo_paper()])).speeds
    assert (speed.pair.first, speed.pair.verdict) == ("demo_t", "faster")
    assert speed.pair.ratio == pytest.approx(2, rel=0.01)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("front")
    source = demo_source(folder / "results")
    build(SiteSource(source.results, source.papers, address="https://example.org/bench/"), folder / "out")
    return folder / "out"


def test_a_page_describes_itself_to_other_sites(pages):
    text = (pages / "papers" / "demo.html").read_text()
    assert '<meta property="og:url" content="https://example.org/bench/papers/demo.html">' in text
    assert '<meta property="og:image" content="https://example.org/bench/preview.png">' in text
    assert '<meta name="description" content="5 printed figures hold, 0 differ and are explained, 5 are off' in text
    assert Image.open(pages / "preview.png").size == (1200, 630)
    assert '<a href="https://example.org/bench/docs/">' in (pages / "index.html").read_text()


def test_a_badge_has_the_counts_of_its_paper(pages):
    root = xml.parse(pages / "badges" / "demo.svg").getroot()
    assert root.get("aria-label") == "claimbench: 5 hold, 5 off"
    address = "[![claimbench: 5 hold, 5 off](https://example.org/bench/badges/demo.svg)]"
    assert address in (pages / "papers" / "demo.html").read_text()


def test_a_badge_is_red_only_if_something_is_off():
    nothing = {"holds": 0, "explained": 0, "off": 0}
    assert badge_text(nothing) == "not measured yet"
    assert len({badge({**nothing, **found}) for found in ({}, {"holds": 10}, {"explained": 10}, {"off": 10})}) == 4
    assert "#b3261e" not in badge({**nothing, "holds": 3, "explained": 90})
    assert badge_text({**nothing, "holds": 10}) == "10 hold"


def test_nights_are_told_the_newest_first_on_a_page_and_in_a_feed(pages):
    feed = xml.parse(pages / "feed.xml").getroot()
    entries = feed.findall(f"{ATOM}entry")
    assert [entry.findtext(f"{ATOM}title") for entry in entries] == [
        "2026-01-02, box: 1 got worse",
        "2026-01-01, box: nothing got worse",
    ]
    assert feed.findtext(f"{ATOM}updated") == entries[0].findtext(f"{ATOM}updated") == "2026-01-02T01:00:00+00:00"
    assert len({entry.findtext(f"{ATOM}id") for entry in entries}) == 2
    page = (pages / "regressions.html").read_text()
    for entry in entries:
        place = entry.find(f"{ATOM}link").get("href").removeprefix("https://example.org/bench/regressions.html#")
        assert f'id="{place}"' in page
    assert "demo_t, Latency: slower, 1 ms → 2 ms" in page


def test_a_night_that_runs_or_makes_no_sense_is_left_out():
    odd = [
        night("20260101T0Z-1", status="running"),
        night("20260101T0Z-2", started="x"),
        night("20260101T0Z-3", failed=3),
    ]
    assert [line.id for line in night_lines(odd)] == ["20260101T0Z-3"]


def test_a_damaged_night_is_told(tmp_path):
    path = tmp_path / "nights" / "box" / "x.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    (problem,) = gather(Store(tmp_path), []).problems
    assert (problem.place, problem.text) == ("nights/box/x.json", "the night is damaged")


def test_studies_have_a_page_and_stand_on_their_paper(pages):
    for name in ("studies.html", "papers/demo.html"):
        text = (pages / name).read_text()
        assert "a block against a plainer one" in text
        assert "helps at this scale" in text
    assert "helps in 1" in (pages / "index.html").read_text()


def test_the_table_of_all_rows_is_offered(pages):
    assert 'href="data/claimbench.csv"' in (pages / "about.html").read_text()
    assert (pages / "data" / "claimbench.csv").read_text().startswith("paper,model,form,task,metric,")
    assert json.loads((pages / "data" / "claimbench.json").read_text())


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("git@github.com:someone/bench.git", "https://github.com/someone/bench"),
        ("https://user:secret@github.com/someone/bench.git", "https://github.com/someone/bench"),
        ("ssh://git@git.example.org:22/a/b/c", "https://git.example.org/a/b/c"),
        ("../origin.git", ""),
        ("/srv/git/bench.git", ""),
        ("", ""),
    ],
)
def test_the_web_address_of_a_remote_holds_no_secret(remote, address):
    assert web_address(remote) == address


def test_the_pages_of_a_repository_on_github():
    assert github_pages("https://github.com/Someone/bench") == "https://someone.github.io/bench/"
    assert github_pages("https://github.com/someone/someone.github.io") == "https://someone.github.io/"
    assert github_pages("https://git.example.org/a/b") == ""


def test_an_address_that_is_none_is_refused(tmp_path):
    with pytest.raises(UserError, match="is no web address"):
        SiteSource.installed(tmp_path, "javascript:x")
