"""A headless Chromium for the tests that look at pages, and a site for them to look at."""

import shutil

import pytest

from claimbench.bench.publish.site.generate import build
from tests.bench.publish.site.site_examples import demo_source

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="session")
def chromium():
    """A browser, or a skipped test where none is installed."""
    api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install '.[test]'")
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """A page that keeps what its console complains about in ``page.complaints``; nothing may be in it at the end."""
    context = chromium.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.complaints = []
    page.requested = []
    page.on("console", lambda message: message.type in ("error", "warning") and page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.requested.append(request.url))
    yield page
    context.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The demo paper's site."""
    folder = tmp_path_factory.mktemp("site")
    build(demo_source(folder / "results"), folder / "out")
    return folder / "out"
