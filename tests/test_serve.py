"""`llmroof serve`: answers like the command line, refuses what is not meant for it."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner

from llmroof.cli.main import cli
from llmroof.report.content import Wanted
from llmroof.serve import app as module
from llmroof.serve.app import Application

START = Wanted("llama-3.1-8b", ("h100",), ("bf16",), (1, 2), {"batch": 4}, {})


@lru_cache
def application() -> Application:
    return Application(START)


def get(path: str, query: str = "", method: str = "GET", **headers: str) -> tuple[int, Any, dict]:  # type: ignore[type-arg]
    """(status, body, headers) of a request, straight through WSGI."""
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "HTTP_HOST": "127.0.0.1:8321",
        "wsgi.input": io.BytesIO(),
        **headers,
    }
    seen: list[Any] = []
    body = b"".join(application()(environ, lambda status, head: seen.append((status, head))))
    (status, head) = seen[0]
    names = dict(head)
    found = json.loads(body) if names["Content-Type"].startswith("application/json") else body
    return int(status[:3]), found, names


def test_estimate_is_that_of_the_command_line() -> None:
    query = urlencode({"model": "llama-3.1-70b", "gpu": "h200", "tp": 2, "precision": "fp8",
                       "batch": 32, "input_len": 2000, "output_len": 300})  # fmt: skip
    status, found, _ = get("/estimate", query)
    args = "estimate -m llama-3.1-70b -g h200 -tp 2 -p fp8 -b 32 --isl 2000 --osl 300 --format json"
    assert status == 200
    printed = json.loads(CliRunner().invoke(cli, args.split()).stdout)
    for one in (found, printed):  # in no order
        one["inputs"]["defaults"] = set(one["inputs"]["defaults"])
    assert found == printed


def test_page_and_content_are_those_of_the_report() -> None:
    status, body, headers = get("/")
    assert status == 200
    assert body.startswith(b"<!doctype html>")
    assert b"<body data-live>" in body
    status, found, _ = get("/content", "gpu=a100,l40s&precision=bf16&tp=1&batch=9")
    assert status == 200
    assert [one["gpu"] for one in found["deployments"]] == ["a100-sxm-80gb", "l40s"]
    assert found["start"]["batch"] == 9
    assert "llama-3.1-8b" in get("/names")[1]["models"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_who_takes_gzip_gets_the_same_shorter() -> None:
    """Half of it or less; those who do not ask get it plain."""
    status, plain, before = get("/")
    packed_status, packed, after = get("/", HTTP_ACCEPT_ENCODING="gzip, deflate")
    assert status == packed_status == 200
    assert "Content-Encoding" not in before
    assert (after["Content-Encoding"], after["Vary"]) == ("gzip", "Accept-Encoding")
    assert int(after["Content-Length"]) == len(packed) < len(plain) / 2
    assert gzip.decompress(packed) == plain


def test_only_the_last_pages_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(module, "_KEPT", 2)
    monkeypatch.setattr(module, "content", lambda wanted: made.append(wanted.model) or wanted.model)
    own = Application(START)
    for name in ("a", "b", "a", "c", "b"):
        own._content(replace(START, model=name))
    assert made == ["a", "b", "c", "b"]  # b was asked longer ago than a when c came


def test_a_page_follows_the_users_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tmp_path / "hardware_specs" / "mine.yaml"
    spec.parent.mkdir()
    monkeypatch.setenv("LLMROOF_SPECS", str(tmp_path))
    for name in ("First", "Second one"):
        spec.write_text(f"name: {name}\nextends: h100-sxm\n")
        for _ in range(2):
            status, found, _ = get("/content", "gpu=mine&precision=bf16&tp=1&batch=3")
            assert status == 200
            assert f'"{name}"' in json.dumps(found)


def test_hub_names_that_a_spec_lists_are_taken() -> None:
    status, found, _ = get("/estimate", "model=meta-llama/Llama-3.1-70B&gpu=h200&tp=2")
    assert (status, found["inputs"]["model"]) == (200, "llama-3.1-70b")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("gpu=h1000", "unknown GPU 'h1000'; did you mean 'h100'? (see llmroof gpus)"),
        ("model=llama-3.1-8", "unknown model 'llama-3.1-8'; did you mean 'llama-3.1-8b'? "
                              "(see llmroof models)"),
        ("model=", None),
        ("model=/etc/passwd",
         "'/etc/passwd' is no name of a model: a server takes names, no paths"),
        ("model=../secret.yaml",
         "'../secret.yaml' is no name of a model: a server takes names, no paths"),
        ("model=config.json",
         "'config.json' is no name of a model: a server takes names, no paths"),
        ("model=nobody/knows",
         "'nobody/knows' is no name of a model: a server takes names, no paths"),
        ("gpu=..", "'..' is no name of a GPU: a server takes names, no paths"),
        ("gpu=%00", "'\\x00' is no name of a GPU: a server takes names, no paths"),
        ("gpu=%ff", "the query is not UTF-8 text, or has too many parts"),
        ("precision=fp8/x", "'fp8/x' is no name of a precision: a server takes names, no paths"),
        ("gpu=a100&gpu=h100", "gpu is given twice"),
        ("price=1", "unknown parameter 'price'"),
        ("batch=0", "batch: 0 is not between 1 and 1000000000"),
        ("batch=1:4", "batch takes one value, not 4"),
        ("batch=nan", None),
        ("tp=3", None),
        ("input_len=200000", "input_len + output_len = 200256 tokens is beyond the 131072 that "
                             "Llama 3.1 8B was made for"),
        ("gpu=" + "x" * 201, "gpu is longer than 200 characters"),
        ("&".join(f"a{i}=1" for i in range(30)),
         "the query is not UTF-8 text, or has too many parts"),
    ],
)  # fmt: skip
def test_bad_questions_get_the_line_of_the_command_line(query: str, message: str | None) -> None:
    status, found, _ = get("/estimate", query)
    if query == "model=":
        assert status == 200  # an empty field is one left out
        return
    assert status == 400
    assert found["error"].startswith("Error: ")
    assert "\n" not in found["error"]
    assert message is None or found == {"error": f"Error: {message}"}


def test_too_many_choices_are_refused() -> None:
    assert get("/content", "gpu=" + ",".join(f"g{i}" for i in range(9)))[0] == 400
    assert get("/content", "tp=1:64")[0] == 400


@pytest.mark.parametrize(
    "path", ["/x", "/../etc/passwd", "//estimate", "/assets/page.js", "", "/%2e"]
)
def test_other_addresses_do_not_exist(path: str) -> None:
    status, found, _ = get(path)
    assert status == 404
    assert found["error"].startswith("Error: no such address")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"HTTP_HOST": "127.0.0.1:8321"}, 200),
        ({"HTTP_HOST": "localhost"}, 200),
        ({"HTTP_HOST": "LOCALHOST:1"}, 200),
        ({"HTTP_HOST": "[::1]:8321"}, 200),
        ({"HTTP_HOST": "evil.example"}, 403),
        ({"HTTP_HOST": "127.0.0.1.evil.example:8321"}, 403),
        ({"HTTP_HOST": "evil.example:127"}, 403),
        ({"HTTP_HOST": ""}, 403),
        ({"HTTP_ORIGIN": "http://127.0.0.1:8321"}, 200),
        ({"HTTP_ORIGIN": "http://evil.example"}, 403),
        ({"HTTP_ORIGIN": "null"}, 403),
        ({"HTTP_ORIGIN": "http://127.0.0.1:9999"}, 403),
        ({"HTTP_SEC_FETCH_SITE": "same-origin"}, 200),
        ({"HTTP_SEC_FETCH_SITE": "cross-site"}, 403),
        ({"HTTP_SEC_FETCH_SITE": "same-site"}, 403),
        ({"CONTENT_LENGTH": "5"}, 413),
        ({"CONTENT_LENGTH": "-5"}, 413),
        ({"CONTENT_LENGTH": "0"}, 200),
    ],
)
def test_only_this_machine_and_this_page_are_answered(headers: dict[str, str], status: int) -> None:
    assert get("/names", **headers)[0] == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X"])
def test_it_is_read_only(method: str) -> None:
    status, _, headers = get("/estimate", method=method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_long_queries_are_refused() -> None:
    assert get("/names", "x" * 2001)[0] == 414


def test_a_fault_of_ours_is_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: Any) -> None:
        raise ZeroDivisionError("a\nb")

    monkeypatch.setattr(module, "estimate", broken)
    status, found, _ = get("/estimate")
    assert status == 500
    assert found == {"error": "Error: unexpected ZeroDivisionError: a b (please report it)"}


def test_a_wrong_address_of_a_page_is_a_page_and_its_text_is_text() -> None:
    status, body, _ = get("/", "gpu=%3Cscript%3E")
    assert status == 400
    assert b"&lt;script&gt;" in body
    assert b"<script" not in body


# ------------------------------------------------------------------ over a socket


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    pytest.importorskip("waitress", reason="the extra `serve` is not installed")
    from llmroof.serve.run import server

    found = server(START, 0)
    thread = threading.Thread(target=found.run, daemon=True)
    thread.start()
    yield int(found.effective_port)
    found.close()
    thread.join(5)


def ask(port: int, path: str, method: str = "GET", body: bytes | None = None,
        **headers: str) -> tuple[int, bytes]:  # fmt: skip
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_head_has_no_body(port: int) -> None:
    assert ask(port, "/names", "HEAD") == (200, b"")


def test_thirty_two_clients_each_get_their_own_answer(port: int) -> None:
    def one(client: int) -> tuple[int, int]:
        status, body = ask(port, f"/estimate?batch={client}&input_len={100 + client}")
        return status, json.loads(body)["inputs"]["batch"]

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(one, range(1, 33))) == [(200, client) for client in range(1, 33)]


def test_mixed_good_and_bad_clients_do_not_disturb_each_other(port: int) -> None:
    paths = ["/names", "/estimate?gpu=nope", "/nowhere", "/estimate?batch=2"] * 8
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda path: ask(port, path), paths))
    assert [status for status, _ in answers] == [200, 400, 404, 200] * 8
    assert not any(b"Traceback" in body for _, body in answers)


def test_listens_on_loopback_only(port: int) -> None:
    with socket.socket() as other:
        other.settimeout(2)
        addresses = {
            info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
        }
        for address in addresses - {"127.0.0.1"}:
            if not str(address).startswith("127."):
                assert other.connect_ex((str(address), port)) != 0


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /names HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        (b"GET /names HTTP/1.1\r\n\r\n", 403),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /names HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (b"POST /estimate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"POST /estimate HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", 400),
        (b"\x00\x01\x02 nonsense\r\n\r\n", 400),
    ],
)
def test_requests_out_of_shape_are_refused(port: int, raw: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(raw)
        answer = connection.recv(65536)
    assert int(answer.split()[1]) == status
    assert b"Traceback" not in answer
    assert b"root:" not in answer


def test_a_port_in_use_is_one_line(port: int) -> None:
    done = CliRunner().invoke(cli, ["serve", "--port", str(port)], prog_name="llmroof")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"Error: cannot listen on 127.0.0.1:{port}: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("options", [(), ("--open",)])
def test_the_address_is_told_and_opened_if_asked(
    monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    import click

    import llmroof.serve.run as runs

    opened: list[str] = []
    monkeypatch.setattr(click, "launch", opened.append)
    monkeypatch.setattr(runs, "serve", lambda start, port, ready: ready("http://127.0.0.1:5/"))
    done = CliRunner().invoke(cli, ["serve", *options], prog_name="llmroof")
    assert (done.exit_code, done.stderr) == (0, "http://127.0.0.1:5/ (Ctrl+C ends)\n")
    assert opened == (["http://127.0.0.1:5/"] if options else [])


def test_bad_choices_are_refused_before_anything_listens() -> None:
    done = CliRunner().invoke(cli, ["serve", "--gpu", "h100,nope"], prog_name="llmroof")
    assert (done.exit_code, done.stderr) == (
        2,
        "Error: unknown GPU 'nope' (see llmroof gpus)\n",
    )


def test_without_its_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "waitress", None)
    done = CliRunner().invoke(cli, ["serve", "--port", "0"], prog_name="llmroof")
    assert (done.exit_code, done.stderr) == (
        2,
        "Error: serve needs waitress: pip install 'llmroof[serve]'\n",
    )
