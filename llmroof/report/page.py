"""The page itself: template, style, scripts and content in one text that needs nothing else."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
from functools import cache
from importlib.resources import files
from typing import Any, Final

from llmroof import __version__
from llmroof.render.record import Tree

#: scripts in the order in which the page runs them; the first are the charting library
VENDORED: Final = ("vendor/d3.min.js", "vendor/plot.min.js")
OWN: Final = (
    *("formulas.js", "words.js", "state.js", "charts.js", "downloads.js", "dom.js"),
    *("controls.js", "answer.js", "roofline.js", "panels.js", "page.js"),
)
#: what the page may do when a server gives it: ask that server
LIVE: Final = ("live.js",)


@cache
def asset(name: str) -> str:
    """The text of one of the page's files."""
    folder = files("llmroof.report") / "assets"
    return folder.joinpath(*name.split("/")).read_text("utf-8")


def page(content: Tree, *, title: str, text: str, live: bool = False) -> str:
    """The page as one HTML text.

    `content` is what `llmroof.report.content` gives, `text` the answer for a reader
    without scripts. A `live` page asks the server that it came from for other models.
    """
    scripts = _scripts(live)
    slots = {
        "title": html.escape(title),
        "version": html.escape(__version__),
        "policy": html.escape(policy(live)),
        "style": asset("page.css"),
        "live": " data-live" if live else "",
        "text": html.escape(text),
        "licences": html.escape(asset("vendor/LICENSES.txt")),
        "content": packed(content),
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    parts = []
    for piece in asset("page.html").split("{{"):
        name, closed, rest = piece.partition("}}")
        parts.append(slots[name] + rest if closed else piece)
    return "".join(parts)


def policy(live: bool) -> str:
    """What the page may load and run: its own scripts by their hash, nothing from outside."""
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in _scripts(live))
    server = "'self'" if live else "'none'"
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        f"img-src data: blob:; connect-src {server}; "
        "base-uri 'none'; form-action 'none'"
    )


def packed(content: Any) -> str:
    """Plain data as compressed JSON in base64; the same data give the same text."""
    data = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return base64.b64encode(gzip.compress(data.encode("utf-8"), mtime=0)).decode("ascii")


def _scripts(live: bool) -> list[str]:
    names = (*VENDORED, *OWN[:-1], *(LIVE if live else ()), OWN[-1])  # the last one starts it
    return [asset(name) for name in names]


@cache
def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
