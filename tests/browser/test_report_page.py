"""The page in a browser: nothing but itself is loaded, every figure is the engine's."""

from __future__ import annotations

import csv
import io
import random
import time
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from browser.driving import MODEL, WORK, complaints, opened, requests, shown, wait
from llmroof import estimate, units
from llmroof.render.report import percent
from llmroof.render.why import phase_sentence, ridge_sentence
from llmroof.report.content import calculation
from llmroof.search.frontier import pareto


@pytest.fixture
def page(chromium: Any, report_file: Path) -> Any:
    """The page as it opens, with empty logs."""
    return opened(chromium, report_file.as_uri())


def set_state(driver: Any, state: dict[str, Any]) -> None:
    """Choose by the controls, as a person does: chips are clicked, sliders and numbers moved."""
    driver.execute_script(
        """
        const state = arguments[0];
        for (const name of ["gpu", "precision", "plan"]) {
          const place = `#controls input[name="${name}"][value="${state[name]}"]`;
          const input = document.querySelector(place);
          if (!input.checked) input.click();
        }
        for (const name of ["batch", "input_len", "output_len"]) {
          const number = document.getElementById(name);
          number.value = state[name];
          number.dispatchEvent(new Event("change"));
        }
        """,
        state,
    )
    wait(driver, f"return JSON.stringify(llmroof.state).includes('\"batch\":{state['batch']},')")
    driver.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
    )


def choices(driver: Any) -> list[dict[str, Any]]:
    return driver.execute_script(  # type: ignore[no-any-return]
        "const pick = ({gpu, precision, plan, tp}) => ({gpu, precision, plan, tp});"
        "return llmroof.content.deployments.map(pick)"
    )


def truth(state: dict[str, Any]) -> Any:
    options = {"gpu": state["gpu"], "precision": state["precision"], "tp": state["tp"]}
    return estimate(model=MODEL, **options, **{name: state[name] for name in WORK})


def expected_tiles(found: Any) -> dict[str, str]:
    """The tiles as the command line would print their figures."""
    serving, cost = found.serving, found.cost
    return {
        "serving.ttft_s": units.show(serving.ttft, "s"),
        "serving.tpot_s": units.show(serving.tpot, "s") if found.workload.output_len > 1 else "-",
        "serving.e2e_latency_s": units.show(serving.e2e_latency, "s"),
        "serving.output_tokens_per_s": f"{serving.output_tokens_per_s:,.0f}",
        "serving.total_tokens_per_s": f"{serving.total_tokens_per_s:,.0f}",
        "cost.usd_per_million_output_tokens": units.significant(cost.usd_per_million_output_tokens),
        "cost.usd_per_hour": units.significant(cost.usd_per_hour),
        "memory.max_batch": f"{found.memory.max_batch:,.0f}",
    }


def test_page_opens_without_a_complaint_or_a_request(page: Any, report_file: Path) -> None:
    time.sleep(1)  # until everything out of sight is drawn as well
    assert complaints(page) == []
    assert requests(page) == {report_file.as_uri()}
    charts = page.execute_script("return document.querySelectorAll('.canvas svg').length")
    assert charts == 4


def test_every_control_moves_the_figures_to_those_of_an_estimate(page: Any) -> None:
    """Random choices and positions, against the engine, to the shown digits."""
    dice = random.Random(9)
    every = choices(page)
    for _ in range(25):
        state = {
            **dice.choice(every),
            "batch": int(2 ** dice.uniform(0, 12)),
            "input_len": int(2 ** dice.uniform(0, 16)),
            "output_len": int(2 ** dice.uniform(0, 13)),
        }
        set_state(page, state)
        found = truth(state)
        assert shown(page) == expected_tiles(found), state
        verdict = page.execute_script("return document.querySelector('.verdict').textContent")
        assert verdict.startswith("It fits" if found.fits else "Does not fit"), state
        table = page.execute_script(
            "return [...document.querySelectorAll('#phases tbody tr')]"
            ".map(row => [...row.cells].map(cell => cell.textContent))"
        )
        phases = [found.prefill, *([found.decode] if state["output_len"] > 1 else [])]
        for row, phase in zip(table, phases, strict=True):
            assert row[1:] == [
                units.show(phase.flop, "FLOP"),
                units.show(phase.bytes, "B"),
                units.significant(phase.arithmetic_intensity),
                units.significant(phase.ridge_point),
                phase.bound,
                percent(phase.mfu),
                percent(phase.mbu),
                units.show(phase.time, "s"),
                units.show(phase.roofline_time, "s"),
            ], state
    assert complaints(page) == []


def test_sliders_move_the_figures(page: Any) -> None:
    for name, place in (("batch", 30), ("input_len", 61), ("output_len", 44)):
        page.execute_script(
            "const range = document.getElementById(arguments[0] + '-range');"
            "range.value = arguments[1]; range.dispatchEvent(new Event('input'))",
            name,
            place,
        )
        time.sleep(0.2)
        state = page.execute_script("return llmroof.state")
        assert state[name] == page.execute_script(
            f"return document.getElementById('{name}-range').values[{place}]"
        )
        state["tp"] = int(state["plan"].removeprefix("tp"))
        assert shown(page) == expected_tiles(truth(state))


def test_formulas_in_the_browser_are_the_engines_at_ten_thousand_points(page: Any) -> None:
    """All figures but single operators, to the last digits that logarithms leave open."""
    content = page.execute_script("return llmroof.content.limits")
    every, dice = choices(page), np.random.default_rng(5)
    each = -(-10_000 // len(every))
    worst = 0.0
    for index, choice in enumerate(every):
        work = {
            name: np.floor(np.exp(dice.uniform(0, np.log(content[name] + 1), each)))
            for name in WORK
        }
        options = {"gpu": choice["gpu"], "precision": choice["precision"], "tp": choice["tp"]}
        deployment = estimate(model=MODEL, batch=1, **options).deployment
        named = {
            name: value
            for name, value in calculation(deployment, **work).items()
            if not any(part.isdigit() for part in name.split("."))
        }
        found = page.execute_script(
            """
            const [index, names, rows] = arguments;
            return rows.map(([batch, input_len, output_len]) => {
              const read = llmroof.formulas(index, { batch, input_len, output_len });
              return names.map((name) => Number(read(name)));
            });
            """,
            index,
            list(named),
            np.stack([work[name] for name in WORK], axis=-1).tolist(),
        )
        for name, column in zip(named, np.array(found, dtype=float).T, strict=True):
            value = np.broadcast_to(np.asarray(named[name], dtype=float), (each,))
            error = np.abs(column - value) / np.maximum(np.abs(value), 1e-300)
            worst = max(worst, float(np.max(error)))
            assert worst < 1e-12, (choice, name)


def test_numbers_are_written_as_the_command_line_writes_them(page: Any) -> None:
    dice = random.Random(3)
    values = [dice.uniform(0.1, 1) * 10 ** dice.randint(-9, 16) for _ in range(2000)]
    values += [0.5, 1.5, 2.5, 0.125, 12.5, 125.5, 0.0625, 1e-7, 999.5, 9995.0, 0.9995, 1e3, 1e6, 0]
    written = page.execute_script(
        "return arguments[0].map("
        "v => [show(v, 's'), show(v, 'B'), significant(v), whole(v), percent(v)])",
        values,
    )
    for value, texts in zip(values, written, strict=True):
        assert texts == [
            units.show(value, "s"),
            units.show(value, "B"),
            units.significant(value),
            f"{value:,.0f}",
            percent(value),
        ], value


def test_sentences_are_those_of_the_command_line(page: Any) -> None:
    dice = random.Random(4)
    for choice in choices(page):
        state = {
            **choice,
            "batch": dice.choice([1, 8, 64, 700]),
            "input_len": dice.choice([1, 300, 6000]),
            "output_len": dice.choice([2, 300, 3000]),
        }
        set_state(page, state)
        lines = page.execute_script(
            "return [...document.querySelectorAll('#why li')].map(node => node.textContent)"
        )
        found = truth(state)
        for line, name in zip(lines, ("prefill", "decode"), strict=False):
            said = phase_sentence(name, getattr(found, name))
            if "although" in said:  # the page leaves the ridge of real kernels to `explain`
                assert line.split(" of the ")[0].startswith(said.split(" of the ")[0][:40])
                continue
            assert line.startswith(said), state
        assert lines[1].endswith(ridge_sentence(found)), state


def test_link_restores_the_state(page: Any, report_file: Path) -> None:
    state = choices(page)[-1] | {"batch": 37, "input_len": 5555, "output_len": 321}
    set_state(page, state)
    page.execute_script(
        "document.querySelector('#roofline-switches input[value=operators]').click();"
        "document.querySelector('#breakdown-switches input[value=prefill]').click();"
        "document.querySelector('#frontier-switches input[value=true]').click()"
    )
    time.sleep(0.5)
    link, before = page.current_url, page.execute_script("return llmroof.state")
    assert link.startswith(report_file.as_uri() + "#")
    tiles = shown(page)
    opened(page, link)
    assert page.execute_script("return llmroof.state") == before
    assert (before["operators"], before["phase"], before["usd"]) == (False, "prefill", True)
    assert shown(page) == tiles


@pytest.mark.parametrize(
    "fragment",
    [
        "gpu=nothing&plan=x&batch=-4&in=1e9&out=;alert(1)",
        "batch=999999999&in=999999999",
        "%%%",
        "<b>",
    ],
)
def test_a_wrong_link_opens_the_page_all_the_same(
    chromium: Any, report_file: Path, fragment: str
) -> None:
    page = opened(chromium, f"{report_file.as_uri()}#{fragment}")
    state = page.execute_script("return llmroof.state")
    limits = page.execute_script("return llmroof.content.limits")
    assert all(1 <= state[name] <= limits[name] for name in WORK)
    assert state["input_len"] + state["output_len"] <= 131072
    assert complaints(page) == []


def test_choices_that_do_not_exist_say_why(page: Any) -> None:
    page.execute_script(
        "document.querySelector('#controls input[value=\"a100-sxm-80gb\"]').click()"
    )
    chip = page.execute_script(
        "const input = document.querySelector('#pick-precision input[value=fp8]');"
        "return [input.disabled, input.title]"
    )
    assert chip[0] is True
    assert "has no fp8 arithmetic" in chip[1]


def test_frontier_is_that_of_the_search(page: Any) -> None:
    for usd in (False, True):
        points, frontier = page.execute_script(
            """
            const points = frontierPoints().filter((p) => !arguments[0] || Number.isFinite(p.usd));
            const plain = (p) => [-p.speed, arguments[0] ? p.usd : -p.rate];
            return [points.map(plain), paretoOf(points, arguments[0]).map(plain)];
            """,
            usd,
        )
        table = np.array(points)
        best = {tuple(point) for point in table[pareto([table[:, 0], table[:, 1]])].tolist()}
        assert {tuple(point) for point in frontier} == best


def test_roofline_zooms_and_shows_all_again(page: Any) -> None:
    def frame() -> list[str]:
        return page.execute_script(  # type: ignore[no-any-return]
            "return [...document.querySelectorAll('#roofline .canvas svg g')]"
            ".filter(g => g.textContent && g.querySelector('text')).map(g => g.textContent)"
        )

    wait(page, "return document.querySelector('#roofline .canvas svg')")
    before = frame()
    page.execute_script("document.querySelector('[data-zoom=in]').click()")
    time.sleep(0.3)
    inside = frame()
    assert inside != before
    page.execute_script("document.querySelector('[data-zoom=all]').click()")
    time.sleep(0.3)
    assert frame() == before
    assert complaints(page) == []


def test_a_mark_of_the_roofline_tells_its_figures(page: Any) -> None:
    """The tip of every operator holds the time and intensity of `llmroof layers`."""
    set_state(page, choices(page)[0] | {"batch": 8, "input_len": 1000, "output_len": 100})
    found = truth(choices(page)[0] | {"batch": 8, "input_len": 1000, "output_len": 100})
    tips = page.execute_script(
        "return showRoofline.series[0].operators.map(o => [o.phase, o.title])"
    )
    named = {("prefill", cost.operator.name): cost for cost in found.prefill.operators}
    named |= {("decode", cost.operator.name): cost for cost in found.decode.operators}
    assert len(tips) > 8
    for phase, tip in tips:
        cost = named[phase, tip.split(" (")[0]]
        intensity = cost.operator.flop / cost.operator.bytes
        assert f"{units.significant(intensity)} FLOP/B" in tip
        assert f"{units.show(cost.times.total, 's')} in all" in tip
        assert f"{units.show(cost.limit.total, 's')} at the limit" in tip
    page.execute_script("document.getElementById('roofline').scrollIntoView()")
    time.sleep(0.6)
    place = page.execute_script(
        "const box = document.querySelector('#roofline .canvas');"
        "const mark = box.querySelector('[fill-opacity=\"0.32\"] path');"
        "const where = mark.getBoundingClientRect();"
        "return [where.x + where.width / 2, where.y + where.height / 2]"
    )
    move = {"type": "mouseMoved", "x": place[0], "y": place[1], "pointerType": "mouse"}
    page.execute_cdp_cmd("Input.dispatchMouseEvent", move | {"x": place[0] - 3})
    page.execute_cdp_cmd("Input.dispatchMouseEvent", move)
    tip = wait(
        page,
        "const texts = [...document.querySelectorAll('#roofline .canvas svg text')]"
        ".map(t => t.textContent); return texts.find(t => t.includes('FLOP/B'))",
    )
    assert "-bound" in tip


def test_switches_of_the_roofline_add_and_remove(page: Any) -> None:
    def marks() -> int:
        return int(
            page.execute_script(
                "return document.querySelectorAll('#roofline .canvas svg path').length"
            )
        )

    wait(page, "return document.querySelector('#roofline .canvas svg')")
    counts = [marks()]
    for switch in ("show][value=operators", "show][value=prefill", "show][value=path"):
        page.execute_script(f"document.querySelector('#roofline-switches [name={switch}]').click()")
        time.sleep(0.3)
        counts.append(marks())
    assert counts == sorted(set(counts), reverse=True)  # each one takes marks away
    page.execute_script("document.querySelector('#roofline-switches [name=gpus]').click()")
    time.sleep(0.3)
    assert marks() > counts[-1]


def test_figures_download(chromium: Any, report_file: Path, downloads: Path) -> None:
    for name in ("roofline", "breakdown", "memory", "frontier"):
        page = opened(chromium, report_file.as_uri())  # a page may save ten files unasked
        for kind in ("PNG", "SVG", "CSV"):
            page.execute_script(
                f"document.querySelector('[aria-label=\"Save {name} as {kind}\"]').click()"
            )
            file = downloads / f"llmroof-{MODEL}-{name}.{kind.lower()}"
            end = time.monotonic() + 10
            while not file.exists() and time.monotonic() < end:
                time.sleep(0.05)
            data = file.read_bytes()
            if kind == "PNG":
                assert data.startswith(b"\x89PNG")
                assert len(data) > 10_000
            elif kind == "SVG":
                root = ElementTree.fromstring(data)
                assert root.tag == "{http://www.w3.org/2000/svg}svg"
                assert b"var(--" not in data.replace(b"var(--plot-background)", b"")
            else:
                rows = list(csv.DictReader(io.StringIO(data.decode())))
                assert rows
                assert all(None not in row for row in rows)
            file.unlink()
    assert complaints(page) == []


def test_keyboard_reaches_and_moves_everything(page: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    seen = []
    for _ in range(90):
        ActionChains(page).send_keys(Keys.TAB).perform()
        seen.append(
            page.execute_script(
                "const now = document.activeElement;"
                "return now.id || now.name || now.tagName + now.textContent"
            )
        )
        if seen[-1] == "batch-range":
            before = page.execute_script("return llmroof.state.batch")
            ActionChains(page).send_keys(Keys.ARROW_RIGHT).perform()
            wait(page, f"return llmroof.state.batch > {before}")
    for name in ("theme", "gpu", "precision", "plan", "batch", "input_len-range", "copy-command"):
        assert name in seen, name
    assert any("As a table" in name for name in seen)


def test_answer_is_spoken_once_things_are_quiet(page: Any) -> None:
    set_state(page, choices(page)[0] | {"batch": 2, "input_len": 100, "output_len": 10})
    said = wait(page, "return document.getElementById('spoken').textContent")
    assert "2 sequences together" in said


@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 390)])
def test_no_serious_accessibility_fault(page: Any, theme: str, width: int) -> None:
    """axe-core, rules of WCAG 2.2 A and AA and good practice."""
    if find_spec("selenium_axe_python") is None:
        pytest.skip("selenium-axe-python is not installed")
    axe = resources.files("selenium_axe_python") / "axe-core" / "axe.min.js"
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        if theme == "dark":
            page.execute_script("document.getElementById('theme').click()")
        page.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true })")
        time.sleep(1)
        page.execute_script(axe.read_text("utf-8"))
        found = page.execute_async_script(
            "const done = arguments[0];"
            "axe.run({ resultTypes: ['violations'] }).then(found => done(found.violations))"
        )
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    faults = {
        fault["id"]: [node["html"][:200] for node in fault["nodes"]][:4]
        for fault in found
        if fault["impact"] in ("serious", "critical")
    }
    assert faults == {}


def test_nothing_is_wider_than_a_phone(page: Any) -> None:
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page.refresh()
        wait(page, "return document.documentElement.dataset.ready === 'yes'")
        time.sleep(0.6)
        assert page.execute_script("return document.documentElement.scrollWidth") <= 390
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
