"""The page of results in a real browser: `make test-browser` brings what this needs."""

import re
import shutil

import pytest

from resnet_keras import report
from resnet_keras.store import Store
from tests.report.synthetic import ENDS, write_run

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: make test-browser")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path: apt install chromium"),
]

EVIL = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
LONG = "a_very_long_name_of_a_data_set_without_a_place_to_break_it_that_goes_on_and_on_and_on"
WIDTHS = (320, 390, 768, 900, 1280)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """A report with two settings, missing runs, several seeds, and names that would break a careless page."""
    root = tmp_path_factory.mktemp("results")
    for network, (train, test) in ENDS.items():
        for seed in range(3):
            write_run(root, network, seed=seed, end=(train + 0.1 * seed, test + 0.2 * seed))
    for network in ("plain20", "plain56"):
        write_run(root, network, data=LONG, title=EVIL, end=(40, 45), summary={"device": EVIL})
    write_run(root, "plain20", weight_decay=0.0)
    report.build(Store(root))
    return root / "index.html"


@pytest.fixture(scope="module")
def browser():
    """Chromium, without its sandbox, which a container's root does not get."""
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, page_file):
    """(page, what it said and asked for), without a network."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    heard = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("dialog", lambda dialog: (heard.append(dialog.message), dialog.dismiss()))
    page.on("requestfailed", lambda request: heard.append(f"failed: {request.url[:80]}"))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else heard.append(r.url[:80]))
    page.goto(page_file.as_uri())
    yield page, heard
    context.close()


def test_it_is_silent_and_asks_for_nothing(opened):
    page, heard = opened
    page.wait_for_load_state("networkidle")
    assert heard == []
    assert page.title() == "Deep Residual Learning in Keras: results"
    assert page.locator("script").count() == 0
    assert EVIL in page.locator("main").inner_text()


@pytest.mark.parametrize("width", WIDTHS)
def test_all_pictures_load_in_the_form_for_the_screen(opened, width):
    page, heard = opened
    page.set_viewport_size({"width": width, "height": 844})
    page.reload(wait_until="load")
    sizes = page.evaluate("[...document.images].map(p => [p.naturalWidth, p.clientWidth])")
    assert len(sizes) >= 2 and heard == []
    for drawn, shown in sizes:
        assert drawn > 0 and shown > 0.8 * min(width, 800)
        assert (drawn < 600) == (width <= 640), "phones get the form with one panel under the other"


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_screen(opened, width):
    page, _ = opened
    page.set_viewport_size({"width": width, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wider = page.evaluate(
        "[...document.querySelectorAll('main *')]"  # but for what is there for those who listen alone
        f".filter(e => !(e.closest('thead') && {width} <= 820) && e.getBoundingClientRect().right > {width} + 0.5)"
        ".map(e => e.tagName + ' ' + e.textContent.slice(0, 40))"
    )
    assert wider == []


def test_a_phone_shows_each_number_with_its_name(opened):
    page, _ = opened
    page.set_viewport_size({"width": 390, "height": 844})
    cell = page.locator(".numbers td[data-label='Test error, %']").first
    assert cell.evaluate("e => getComputedStyle(e, '::before').content") == '"Test error, %"'
    assert page.locator("thead").first.bounding_box()["width"] <= 1
    assert page.locator("td.empty").count() > 10 and not page.locator("td.empty").first.is_visible()
    assert not any(cell.is_visible() for cell in page.locator(".numbers td.empty").all())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_background(opened, scheme):
    """Contrast of 4.5 to 1 or more, as WCAG asks."""
    page, _ = opened
    page.emulate_media(color_scheme=scheme)
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    colours = page.evaluate(
        "[...document.querySelectorAll('h1, p, td, th, a, .soft, .verdict, summary')]"
        ".map(e => getComputedStyle(e).color)"
    )
    assert min(contrast(colour, back) for colour in set(colours)) >= 4.5


def contrast(one: str, other: str) -> float:
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_it_prints(opened, tmp_path):
    page, heard = opened
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 620, "height": 900})  # paper, less its margins
    assert page.locator("tbody tr").first.evaluate("e => getComputedStyle(e).display") == "table-row"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    written = page.pdf(path=tmp_path / "page.pdf", format="A4", margin={"top": "15mm", "bottom": "15mm"})
    assert written.startswith(b"%PDF") and heard == []


@pytest.mark.parametrize("width", WIDTHS)
def test_pictures_of_it_can_be_taken(opened, width, tmp_path):
    page, _ = opened
    page.set_viewport_size({"width": width, "height": 844})
    assert page.screenshot(path=tmp_path / f"{width}.png", full_page=True)
