"""Headless Chromium where the machine has it (Debian: chromium, chromium-driver), else skipped."""

from __future__ import annotations

import shutil
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser.driving import MODEL
from llmroof.report.content import Wanted
from llmroof.report.make import make

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--window-size=1440,900"),
)
START: dict[str, int | None] = {"batch": 16, "input_len": 1024, "output_len": 256}


def browser(profile: Path, downloads: Path) -> Any:
    """A fresh Chromium with logs of its console and of every request."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    found, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if found is None or driver is None:
        pytest.skip("chromium and chromium-driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = found
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    prefs = {
        "download.default_directory": str(downloads),
        "profile.default_content_setting_values.automatic_downloads": 1,
    }
    options.add_experimental_option("prefs", prefs)
    service = webdriver.ChromeService(executable_path=driver)
    return webdriver.Chrome(options=options, service=service)


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the driver's own libraries
        driver = browser(tmp_path_factory.mktemp("profile"), downloads)
        yield driver
        driver.quit()


@pytest.fixture(scope="session")
def report_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    wanted = Wanted(MODEL, ("h100", "a100", "mi300x"), ("bf16", "fp8"), (2, 4), START, {})
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(make(wanted), "utf-8")
    return file


@pytest.fixture(scope="session")
def served() -> Iterator[str]:
    """Address of a server of its own thread that began with one small page."""
    pytest.importorskip("waitress", reason="the extra `serve` is not installed")
    from llmroof.serve.run import HOST, server

    found = server(Wanted("llama-3.1-8b", ("h100",), ("bf16",), (1,), START, {}), 0)
    thread = threading.Thread(target=found.run, daemon=True)
    thread.start()
    yield f"http://{HOST}:{found.effective_port}/"
    found.close()
    thread.join(5)
