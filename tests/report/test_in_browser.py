"""The page of results in a real browser: `make test-browser` brings what this needs."""

import re

import pytest

from resnet_keras import report
from resnet_keras.store import Store
from tests.report.synthetic import write_run

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def page_file(browser, tmp_path_factory):
    """A report with figures, tables and names that would break a careless page."""
    root = tmp_path_factory.mktemp("results")
    for network, end in {"plain20": 30, "plain56": 70, "resnet20": 26, "resnet56": 35}.items():
        for seed in range(3):
            write_run(root, network, data="cifar10_jpeg", seed=seed, end=(end, end + 0.2 * seed))
        write_run(root, network, data="a_very_long_name_" * 5, title=EVIL, summary={"device": EVIL})
    report.build(Store(root))
    return root / "index.html"


@pytest.fixture
def opened(browser, page_file):
    """(page, what it said and asked for), without a network."""
    context = browser.new_context(offline=True)
    page, heard = context.new_page(), []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else heard.append(r.url[:80]))
    page.goto(page_file.as_uri())
    yield page, heard
    context.close()


def test_it_is_silent_and_figures_load_in_the_form_for_the_screen(opened):
    page, heard = opened
    assert page.locator("script").count() == 0 and EVIL in page.locator("main").inner_text()
    for width in (320, 390, 768, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        page.reload(wait_until="networkidle")
        sizes = page.evaluate("[...document.images].map(p => [p.naturalWidth, p.clientWidth])")
        assert len(sizes) >= 3
        assert all(drawn == (704 if width <= 640 else 1440) and shown > 0.8 * min(width, 800) for drawn, shown in sizes)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert heard == [] and page.title() == "Deep Residual Learning in Keras: results"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_background(opened, scheme):
    """Contrast of 4.5 to 1 or more, as WCAG asks."""
    page, _ = opened
    page.emulate_media(color_scheme=scheme)
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    elements = "[...document.querySelectorAll('h1, p, td, th, a, summary')]"
    for colour in set(page.evaluate(f"{elements}.map(e => getComputedStyle(e).color)")):
        low, high = sorted(map(luminance, (colour, back)))
        assert (high + 0.05) / (low + 0.05) >= 4.5


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
