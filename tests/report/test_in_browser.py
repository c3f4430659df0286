"""The page of results in a real browser: `make test-browser` brings what this needs."""

import shutil

import pytest

from resnet_keras import report
from resnet_keras.store import Store
from tests.report.synthetic import PAIRS, write_run

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: make test-browser")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
EVIL = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path: apt install chromium")
def test_it_is_silent_and_figures_load_in_the_form_for_the_screen(tmp_path):
    """With figures, tables and names that would break a careless page; without a network."""
    for network, end in PAIRS.items():
        for seed in range(3):
            write_run(tmp_path, network, data="cifar10_jpeg", seed=seed, end=(end, end + 0.2 * seed))
        write_run(tmp_path, network, data="a_very_long_name_" * 5, title=EVIL, summary={"device": EVIL})
    report.build(Store(tmp_path))
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])  # which root does not get
        page, heard = browser.new_context(offline=True).new_page(), []
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else heard.append(r.url[:80]))
        page.goto((tmp_path / "index.html").as_uri())
        assert page.locator("script").count() == 0 and EVIL in page.locator("main").inner_text()
        for width in (320, 390, 768, 1280):
            page.set_viewport_size({"width": width, "height": 844})
            page.reload(wait_until="networkidle")
            sizes = page.evaluate("[...document.images].map(p => [p.naturalWidth, p.clientWidth])")
            assert len(sizes) >= 3 and {drawn for drawn, _ in sizes} == {704 if width <= 640 else 1440}
            assert min(shown for _, shown in sizes) > 0.8 * min(width, 800)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert heard == [] and page.title() == "Deep Residual Learning in Keras: results"
