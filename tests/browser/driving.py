"""Opening a page in Chromium and reading what it shows and what it asked for."""

from __future__ import annotations

import json
import time
from typing import Any

MODEL = "llama-3.1-70b"
WORK = ("batch", "input_len", "output_len")


def opened(driver: Any, address: str) -> Any:
    driver.get("about:blank")
    for log in ("browser", "performance"):
        driver.get_log(log)
    driver.get(address)
    wait(driver, "return document.documentElement.dataset.ready === 'yes'")
    return driver


def wait(driver: Any, script: str, seconds: float = 20.0) -> Any:
    """What the script gives as soon as it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := driver.execute_script(script):
            return found
        time.sleep(0.02)
    raise AssertionError(f"never true: {script}")


def complaints(driver: Any) -> list[str]:
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] != "INFO"]


def requests(driver: Any) -> set[str]:
    """Addresses that were asked for, but for what the page makes in memory."""
    events = (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
    found = {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    return {url for url in found if not url.startswith(("data:", "blob:", "about:"))}


def shown(driver: Any) -> dict[str, str]:
    """The tiles by the name of their figure, without the small print."""
    return driver.execute_script(  # type: ignore[no-any-return]
        "return Object.fromEntries([...document.querySelectorAll('[data-figure]')]"
        ".map(node => [node.dataset.figure, node.firstChild.textContent]))"
    )
