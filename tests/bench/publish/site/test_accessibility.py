"""Every page against axe's rules, on a wide and a narrow screen, in light and dark."""

import pytest

from tests.bench.publish.site.test_browser import EVERY_PAGE, open_page


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_axe_finds_nothing(chromium, site, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe: pip install '.[test]'").Axe()
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    for path in EVERY_PAGE:
        open_page(page, site, path)
        page.wait_for_load_state("networkidle")
        violations = axe.run(page).response["violations"]
        assert [(v["id"], [node["html"][:160] for node in v["nodes"]][:3]) for v in violations] == [], path
    open_page(page, site, "papers/demo.html")
    page.locator("button.evidence").first.click()
    assert [v["id"] for v in axe.run(page).response["violations"]] == []
    context.close()
