"""The page from a server: other models and GPUs are typed in, errors are the command line's."""

from __future__ import annotations

from typing import Any

from browser.driving import complaints, opened, requests, shown, wait
from llmroof import estimate, units


def submit(page: Any, **fields: str) -> None:
    page.execute_script(
        """
        const form = document.getElementById("ask");
        for (const [name, value] of Object.entries(arguments[0])) form.elements[name].value = value;
        form.requestSubmit();
        """,
        fields,
    )


def test_another_model_is_typed_in_and_kept_in_the_address(chromium: Any, served: str) -> None:
    page = opened(chromium, served)
    wait(page, "return document.querySelectorAll('#models option').length > 10")
    submit(page, model="mixtral-8x7b", gpu="h200,a100", precision="bf16,w4a16", tp="2,4")
    wait(page, "return llmroof.content.model.id === 'mixtral-8x7b'")
    truth = estimate(
        model="mixtral-8x7b", gpu="h200", tp=2, precision="bf16",
        batch=16, input_len=1024, output_len=256,
    )  # fmt: skip
    assert shown(page)["serving.tpot_s"] == units.show(truth.serving.tpot, "s")
    address = page.current_url
    assert "model=mixtral-8x7b" in address
    assert complaints(page) == []
    assert all(url.startswith(served) for url in requests(page))
    before = shown(page)
    opened(page, address)
    assert shown(page) == before


def test_errors_are_those_of_the_command_line_and_leave_the_page(
    chromium: Any, served: str
) -> None:
    page = opened(chromium, served)
    before = shown(page)
    submit(page, gpu="h1000")
    said = wait(page, "return document.getElementById('ask-said').textContent")
    assert said == "Error: unknown GPU 'h1000'; did you mean 'h100'? (see llmroof gpus)"
    assert shown(page) == before
