"""The interactive page: seconds to make it, its size, first render and one step of a slider.

A step is the processor time of the page's thread from a moved slider to the painted figures, with
the answer and the roofline in sight; the other charts follow when the slider rests.

Needs Debian's chromium and chromium-driver, and `pip install -e '.[browser]'`. The first
render is by the clock, from the start of loading to the first whole page, so that other work on the
machine shows in it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from llmroof.report.content import Wanted
from llmroof.report.make import make

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "docs"))
REPEATS = 5
STEPS = 40
ASKED = Wanted("llama-3.1-70b", ("h100", "mi300x", "b200"), None, None, {"batch": 16}, {})
STEP = """
const [name, steps, done] = arguments;
const range = document.getElementById(name);
const frame = () => new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
(async () => {
  for (let step = 0; step < steps; step += 1) {
    range.value = 8 + step;
    range.dispatchEvent(new Event("input"));
    await frame();
  }
  done();
})();
"""


def first_renders(driver: Any, address: str) -> list[float]:
    """Milliseconds from the start of loading to the first whole page."""
    found = []
    for _ in range(REPEATS):
        driver.get("about:blank")
        driver.get(address)
        while not driver.execute_script("return llmroof.firstRender || 0"):
            time.sleep(0.02)
        found.append(driver.execute_script("return llmroof.firstRender"))
    return found


def worked(driver: Any) -> dict[str, float]:
    """Seconds of processor time of the page's thread so far, by kind."""
    found = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return {one["name"]: one["value"] for one in found if one["name"].endswith("Duration")}


def main() -> None:
    begin = time.process_time()
    text = make(ASKED)
    print(f"made in {time.process_time() - begin:.1f} s of processor time")
    print(f"size {len(text.encode()) / 1e6:.2f} MB")
    from make_screenshots import browser

    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        page.write_text(text, "utf-8")
        driver = browser(folder)
        driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
        try:
            found = first_renders(driver, page.as_uri())
            print(f"first render {median(found):.0f} ms (median of {REPEATS})")
            driver.execute_script("document.getElementById('roofline').scrollIntoView()")
            for name in ("batch", "input_len", "output_len"):
                time.sleep(1)  # until nothing is left to draw
                before = worked(driver)
                driver.execute_async_script(STEP, f"{name}-range", STEPS)
                each = {key: (value - before[key]) / STEPS for key, value in worked(driver).items()}
                print(
                    f"a step of {name}: {1e3 * each['TaskDuration']:.0f} ms in all, "
                    f"{1e3 * each['ScriptDuration']:.0f} ms of scripts"
                )
        finally:
            driver.quit()


if __name__ == "__main__":
    main()
