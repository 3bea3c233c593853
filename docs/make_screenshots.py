"""Screenshots of the interactive page for the README and docs: `python docs/make_screenshots.py`.

Needs Debian's chromium and chromium-driver, and `pip install -e '.[browser]'`.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from selenium import webdriver

FOLDER = Path(__file__).resolve().parent / "images"
COMMAND = "report --model llama-3.1-70b --gpu h100,mi300x,b200 --batch 16"
STATE = "gpu=h100-sxm&precision=fp8&plan=tp2&batch=32&in=2048&out=512&gpus=b200-sxm"
#: file -> width, height, scheme, the part that is scrolled to
SHOTS = {
    "report.png": (1360, 1330, "light", None),
    "report-dark.png": (1360, 900, "dark", "#breakdown"),
    "report-phone.png": (390, 844, "light", "#answer"),
}


def browser(profile: str) -> Any:
    """Headless Chromium with a profile of its own."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--window-size=1440,900")
    for flag in (*flags, "--disable-background-networking", f"--user-data-dir={profile}"):
        options.add_argument(flag)
    service = webdriver.ChromeService(executable_path="/usr/bin/chromedriver")
    return webdriver.Chrome(options=options, service=service)


def shoot(driver: Any, address: str, name: str) -> None:
    width, height, scheme, part = SHOTS[name]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1.5 if width < 500 else 1}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics | {"mobile": width < 500})
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    driver.get("about:blank")
    driver.get(address)
    time.sleep(2)
    if part:
        driver.execute_script(f"document.querySelector('{part}').scrollIntoView()")
        time.sleep(1)
    driver.save_screenshot(str(FOLDER / name))
    print(f"docs/images/{name}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        command = [sys.executable, "-m", "llmroof", *shlex.split(COMMAND), "-o", str(page)]
        subprocess.run(command, check=True)
        driver = browser(folder)
        try:
            for name in SHOTS:
                shoot(driver, f"{page.as_uri()}#{STATE}", name)
        finally:
            driver.quit()


if __name__ == "__main__":
    main()
