"""The pages in a browser, from the file system: what readers see and do."""

import gzip
import json
from pathlib import Path

import pytest

from tests.bench.publish.site.site_examples import FRONT, MODELS

EVERY_PAGE = (
    "index.html",
    "compare.html",
    "studies.html",
    "regressions.html",
    "about.html",
    "papers/demo.html",
    "machines/box.html",
    "operators/twist.html",
)


def open_page(page, site, path):
    page.goto(f"{(site / path.partition('#')[0]).as_uri()}{''.join(path.partition('#')[1:])}")
    if "compare" in path or "papers/" in path:
        page.wait_for_selector("#chart[data-drawn]")
    return page


def column(page, title, table="#rows"):
    """Return the cells of a column, as shown."""
    titles = page.locator(f"{table} thead th").all_inner_texts()
    index = next(i for i, text in enumerate(titles) if text.strip().startswith(title))
    return [text.strip() for text in page.locator(f"{table} tbody tr > :nth-child({index + 1})").all_inner_texts()]


def exported(page, format):
    page.locator(f"[data-export={format}]").first.click()
    text = page.locator("dialog textarea").input_value()
    page.keyboard.press("Escape")
    return text


@pytest.mark.parametrize("path", EVERY_PAGE)
def test_every_page_opens_without_complaints_and_loads_nothing_from_elsewhere(page, site, path):
    open_page(page, site, path)
    page.wait_for_load_state("networkidle")
    assert page.complaints == []
    assert page.requested
    assert all(url.startswith((site.as_uri(), "data:")) for url in page.requested)


def test_links_between_pages_lead_somewhere(page, site):
    for path in EVERY_PAGE:
        open_page(page, site, path)
        for link in page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)"):
            if link.startswith("file:"):
                target = link.removeprefix("file://").partition("#")[0]
                assert Path(target).exists(), (path, link)


def test_a_header_sorts_and_the_order_is_in_the_address(page, site):
    open_page(page, site, "papers/demo.html#metric=Parameters")
    page.locator("#rows thead th", has_text="Measured").click()
    page.wait_for_url("**sort=-measured*")
    assert column(page, "Model") == ["demo_worse", "demo_b", "demo_dud", "demo_s", "demo_t"]
    page.locator("#rows thead th", has_text="Measured").click()
    page.wait_for_url("**sort=measured*")
    assert column(page, "Model") == list(MODELS)
    page.reload()
    assert column(page, "Model") == list(MODELS)


def test_filters_narrow_the_rows_and_can_be_linked(page, site):
    open_page(page, site, "papers/demo.html")
    page.locator("#rows select[name=verdict]").select_option("off")
    assert column(page, "Verdict")
    assert all(text.startswith("✖ off") for text in column(page, "Verdict"))
    page.locator("#rows select[name=model]").select_option("demo_s")
    assert column(page, "Model") == ["demo_s"]
    linked = page.url
    assert "verdict=off" in linked
    assert "model=demo_s" in linked
    page.goto("about:blank")
    page.goto(linked)
    assert column(page, "Model") == ["demo_s"]
    page.locator("#rows button", has_text="Show all").click()
    assert len(set(column(page, "Model"))) > 1
    assert "verdict" not in page.url


def test_searching_narrows_the_rows(page, site):
    open_page(page, site, "papers/demo.html")
    page.locator("#rows input[type=search]").fill("demo_dud throughput")
    assert column(page, "Metric") == ["Throughput"]
    assert "q=demo_dud" in page.url


def test_the_evidence_of_a_figure_is_one_click_away_and_can_be_linked(page, site):
    open_page(page, site, "papers/demo.html#metric=Throughput&model=demo_t")
    page.locator("#rows button.evidence").click()
    text = page.locator("dialog").inner_text()
    assert "3 processes, 39 samples" in text
    assert "bench run --paper demo --variant demo_t --metrics throughput" in text
    assert "20260102T000000Z-000001" in text
    assert "Test CPU" in page.locator("dialog").text_content()
    linked = page.url
    page.keyboard.press("Escape")
    assert page.locator("dialog").count() == 0
    page.goto("about:blank")
    page.goto(linked)
    assert "demo_t: Throughput" in page.locator("dialog h2").inner_text()


def test_what_is_shown_is_exported_in_its_order(page, site):
    open_page(page, site, "papers/demo.html#metric=Parameters&sort=-measured")
    csv = exported(page, "csv").splitlines()
    assert csv[0] == "Model,Metric,Conditions,Reported,Measured,Verdict"
    assert [line.partition(",")[0] for line in csv[1:]] == ["demo_worse", "demo_b", "demo_dud", "demo_s", "demo_t"]
    markdown = exported(page, "markdown").splitlines()
    assert markdown[0].startswith("| Model | Metric |")
    assert "demo\\_worse" in markdown[2]
    latex = exported(page, "latex")
    assert (
        latex.index("\\toprule") < latex.index("\\midrule") < latex.index("demo\\_worse") < latex.index("\\bottomrule")
    )


def test_the_export_can_be_saved(page, site):
    open_page(page, site, "papers/demo.html#metric=Parameters")
    page.locator("[data-export=csv]").first.click()
    with page.expect_download() as download:
        page.locator("dialog a[download]").click()
    assert download.value.suggested_filename == "demo.csv"
    assert Path(download.value.path()).read_text().startswith("Model,Metric")


def test_the_front_of_known_data_is_right(page, site):
    open_page(page, site, "compare.html#x=macs&y=imagenet1k_top1&evidence=*")
    fronts = page.locator("#front p").all_inner_texts()
    assert f"Pareto front, measured: {', '.join(FRONT)}" in fronts
    assert f"Pareto front, reported: {', '.join(FRONT)}" in fronts


def test_the_front_turns_with_the_direction_that_is_better(page, site):
    open_page(page, site, "compare.html#x=throughput&y=imagenet1k_top1")
    (front,) = page.locator("#front p").all_inner_texts()
    assert front == f"Pareto front, measured, box, fp32, batch 8, eager, 2 threads: {', '.join(FRONT)}"


def test_fronts_of_small_cases(page, site):
    open_page(page, site, "compare.html")
    front = "([points, x, y]) => claimbench.pareto(points.map(([x, y]) => ({x, y})), x, y).map(p => [p.x, p.y])"
    points = [[1, 1], [2, 3], [3, 2], [2, 3], [4, 4], [None, 9]]
    assert page.evaluate(front, [points, "lower", "higher"]) == [[1, 1], [2, 3], [2, 3], [4, 4]]
    assert page.evaluate(front, [points, "higher", "higher"]) == [[4, 4]]
    assert page.evaluate(front, [points, "lower", "lower"]) == [[1, 1]]
    assert page.evaluate(front, [points, "higher", "lower"]) == [[4, 4], [3, 2], [1, 1]]
    assert page.evaluate(front, [[], "higher", "lower"]) == []


def test_axes_are_chosen_by_the_reader_and_kept_in_the_address(page, site):
    open_page(page, site, "compare.html")
    page.locator("select[name=x]").select_option("params")
    page.locator("select[name=y]").select_option("throughput")
    page.wait_for_function("Number(document.getElementById('chart').dataset.drawn) >= 3")
    assert "x=params" in page.url
    assert "y=throughput" in page.url
    assert "Parameters (M)" in page.locator("#chart").inner_text()
    assert "Throughput (img/s)" in page.locator("#chart").inner_text()


def test_reported_and_measured_points_differ_in_shape_and_filling(page, site):
    open_page(page, site, "compare.html#x=macs&y=imagenet1k_top1&evidence=*")
    shapes = page.eval_on_selector_all(
        "#chart > svg path.mark",
        "all => all.map(one => [one.getAttribute('d'), one.getAttribute('fill-opacity')])",
    )
    assert len(shapes) == 2 * len(MODELS)
    assert len({path for path, _ in shapes}) == 2
    assert {opacity for _, opacity in shapes} == {"0", "0.55"}


def test_hovering_names_the_model_its_value_and_its_spread(page, site):
    open_page(page, site, "compare.html#x=throughput&y=macs")
    page.locator("#chart > svg path.mark").first.hover()
    page.wait_for_selector("#tip.visible")
    tip = page.locator("#tip").inner_text()
    assert "demo_" in tip
    assert "img/s ±" in tip
    assert "batch 8" in tip


def test_chosen_models_alone_can_be_compared_and_linked(page, site):
    open_page(page, site, "compare.html#evidence=measured")
    for name in ("demo_t", "demo_b"):
        page.get_by_label(f"Choose {name}", exact=True).check()
    page.locator("input[name=only]").check()
    assert set(column(page, "Model", "#explore")) == {"demo_t", "demo_b"}
    page.reload()
    page.wait_for_selector("#chart[data-drawn]")
    assert set(column(page, "Model", "#explore")) == {"demo_t", "demo_b"}


def test_history_shows_every_run(page, site):
    open_page(page, site, "papers/demo.html#history=Throughput&history.model=demo_t")
    page.wait_for_selector("#history .chart[data-drawn]")
    assert "1 lines, 2 figures" in page.locator("#history figcaption").inner_text()
    lines = page.evaluate("claimbench.data.history")
    (line,) = [line for line in lines if (line["model"], line["key"]) == ("demo_t", "throughput")]
    values = [point[1] for point in line["points"]]
    assert values == pytest.approx([100, 101], rel=1e-3)


def test_an_operator_shows_its_speed_and_its_roofline(page, site):
    open_page(page, site, "operators/twist.html")
    page.wait_for_selector("#roofline[data-drawn]")
    page.wait_for_selector("#speedups[data-drawn]")
    assert "3× [2.9, 3.1] ▲ faster" in " ".join(column(page, "Against plain", "#timings"))
    assert "50 % (memory)" in column(page, "Of roofline", "#timings")


def test_a_view_is_only_data(site):
    for script in (site / "data").glob("*.js"):
        for line in script.read_text().splitlines():
            name, _, body = line.removeprefix("claimbench.put(").removesuffix(");").partition(", ")
            json.loads(json.loads(body))
            assert json.loads(name).isidentifier()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_no_page_scrolls_sideways(chromium, site, width, scheme):
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    for path in EVERY_PAGE:
        open_page(page, site, path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    context.close()


def test_tab_reaches_the_content_first_and_the_focus_can_be_seen(page, site):
    open_page(page, site, "papers/demo.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.getElementById('main').contains(document.activeElement)")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


def test_a_header_sorts_by_the_keyboard(page, site):
    open_page(page, site, "papers/demo.html#metric=Parameters")
    header = page.locator("#rows thead th", has_text="Measured")
    header.locator("[tabindex='0'], button").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#rows thead th[aria-sort='descending']", state="attached")
    assert header.get_attribute("aria-sort") == "descending"


def test_all_rows_are_on_paper(page, site):
    open_page(page, site, "papers/demo.html")
    before = page.locator("#rows tbody tr").count()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#rows tbody tr").count() == len(page.evaluate("claimbench.data.rows"))
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("#rows tbody tr").count() == before


def test_the_first_page_leads_to_the_best_model_below_a_cost(page, site):
    open_page(page, site, "index.html")
    page.get_by_role("link", name="Which backbone below 5 GFLOPs?").click()
    page.wait_for_selector("#chart[data-drawn]")
    assert column(page, "Model", "#explore") == ["demo_s", "demo_t"]


def test_bounds_narrow_the_models_and_are_kept_in_the_address(page, site):
    open_page(page, site, "compare.html")
    page.locator("input[name=params_below]").fill("55")
    page.locator("input[name=score_above]").fill("81")
    assert column(page, "Model", "#explore") == ["demo_b", "demo_s"]
    page.reload()
    page.wait_for_selector("#chart[data-drawn]")
    assert column(page, "Model", "#explore") == ["demo_b", "demo_s"]


def test_a_model_is_one_row_with_its_conditions(page, site):
    open_page(page, site, "compare.html#evidence=*")
    assert sorted(column(page, "Model", "#explore")) == sorted(MODELS)
    assert "box, fp32, batch 8" in column(page, "Conditions", "#explore")[0]
    assert set(column(page, "Evidence", "#explore")) == {"measured cost, reported score"}


def test_rows_without_a_number_stand_last_both_ways(page, site):
    open_page(page, site, "papers/demo.html")
    for _ in range(2):
        page.locator("#rows thead th", has_text="Reported").click()
        shown = [bool(text) for text in column(page, "Reported")]
        assert shown == sorted(shown, reverse=True)
        assert set(shown) == {True, False}


def test_papers_are_searched_and_filtered(page, site):
    open_page(page, site, "index.html")
    rows = page.locator("#paper-table tbody tr:visible")
    assert rows.count() == 1
    page.locator("#paper-filters select[name=degree]").select_option("explained")
    assert rows.count() == 0
    assert "degree=explained" in page.url
    page.locator("#paper-filters select[name=degree]").select_option("off")
    page.locator("#paper-filters input").fill("five models")
    assert rows.count() == 1
    page.locator("#paper-filters input").fill("six models")
    assert rows.count() == 0


@pytest.mark.parametrize(("path", "cell"), [("papers/demo.html", "#rows td.c-verdict"), ("index.html", "td .degrees")])
def test_the_verdict_is_in_sight_on_a_narrow_screen(chromium, site, path, cell):
    context = chromium.new_context(viewport={"width": 400, "height": 800})
    page = context.new_page()
    open_page(page, site, path)
    box = page.locator(cell).first.bounding_box()
    assert 0 <= box["x"] < box["x"] + box["width"] <= 400
    context.close()


def test_no_page_is_heavy(page, site):
    for path in EVERY_PAGE:
        page.requested.clear()
        open_page(page, site, path)
        page.wait_for_load_state("networkidle")
        files = {url.partition("#")[0].removeprefix("file://") for url in page.requested if url.startswith("file:")}
        assert sum(len(gzip.compress(Path(file).read_bytes())) for file in files) < 90_000, path
