"""Notebook 02 in JupyterLab, in a real browser, as a reader runs it: `make test-browser` brings what this needs."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NAME = "02_degradation.ipynb"
TOKEN = "a-token-of-this-test"
PATIENCE = 180  # seconds, for a machine that is busy with other things


@pytest.fixture
def lab(browser, tmp_path):
    """Address of a JupyterLab that serves the notebook without its outputs, beside a copy of the results."""
    notebook = nbformat.read(ROOT / "notebooks" / NAME, 4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / NAME)
    shutil.copytree(ROOT / "results", tmp_path / "results", ignore=shutil.ignore_patterns("*.keras", "checkpoint-*"))
    folders = {"RESNET_KERAS_RESULTS": tmp_path / "results", "JUPYTER_CONFIG_DIR": tmp_path / "config"}
    folders |= {"JUPYTERLAB_SETTINGS_DIR": tmp_path / "settings", "JUPYTERLAB_WORKSPACES_DIR": tmp_path / "spaces"}
    # Where it serves is read from what it says: a port that was free a moment ago may be taken.
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"]
    command += [f"--IdentityProvider.token={TOKEN}", "--ServerApp.root_dir=notebooks"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **{key: str(path) for key, path in folders.items()}}
    said, deadline = tmp_path / "lab.txt", time.monotonic() + PATIENCE
    with said.open("w", encoding="utf-8") as file:
        streams = {"stdout": file, "stderr": file, "start_new_session": True}
        server = subprocess.Popen(command, cwd=tmp_path, env=environment, **streams)
    try:
        while not (address := re.search(r"http://127\.0\.0\.1:[1-9]\d*/", said.read_text(encoding="utf-8"))):
            assert time.monotonic() < deadline and server.poll() is None, said.read_text(encoding="utf-8")[-2000:]
            time.sleep(0.2)
        yield address[0]
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_all_cells_run_and_the_figure_is_seen(browser, lab):
    page = browser.new_page(viewport={"width": 1280, "height": 2400})
    page.set_default_timeout(PATIENCE * 1000)
    page.goto(f"{lab}lab/tree/{NAME}?token={TOKEN}")
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    page.get_by_text(re.compile(r"\| Idle")).first.wait_for()  # what is run before the kernel is ready is lost
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    figure = page.locator(".jp-RenderedImage img").first
    figure.wait_for()
    figure.scroll_into_view_if_needed()
    assert figure.evaluate("picture => picture.complete && picture.naturalWidth") > 500
    assert "plain-56" in page.locator(".jp-OutputArea-output table").first.text_content()
    assert page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']").count() == 0
