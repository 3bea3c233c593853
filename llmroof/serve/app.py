"""The server's answers, as a WSGI application: four addresses, read only, for this machine.

Every fault is one line in the command line's words. Requests that another page or another
host name sends are refused (DNS rebinding, cross-site requests): the Host header must name
a loopback address, Origin and Sec-Fetch-Site, where a browser sends them, the same site.
"""

from __future__ import annotations

import gzip
import html
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any, Final, TypeAlias

from llmroof.api import estimate
from llmroof.errors import LlmroofError
from llmroof.render.record import estimate_document
from llmroof.report.content import Wanted, content
from llmroof.report.make import page_of
from llmroof.report.page import policy
from llmroof.serve.request import asked, one_question, page_request
from llmroof.specs import catalog
from llmroof.specs.memo import current, watched

Environ: TypeAlias = dict[str, Any]
#: status, type of the body, body
Answer: TypeAlias = tuple[str, str, bytes]

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
#: longest query, in characters
_QUERY: Final = 2000
#: contents kept: the last ones asked for
_KEPT: Final = 8
_JSON: Final = "application/json; charset=utf-8"
_HTML: Final = "text/html; charset=utf-8"
_STATUS: Final = {
    400: "400 Bad Request",
    403: "403 Forbidden",
    404: "404 Not Found",
    405: "405 Method Not Allowed",
    413: "413 Content Too Large",
    414: "414 URI Too Long",
    500: "500 Internal Server Error",
}
_HEADERS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Frame-Options", "DENY"),
    ("Cache-Control", "no-store"),
)


class Refused(Exception):
    """A request that is not answered: its status and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Application:
    """Answers about the deployments of `start`, and about any other that is asked for."""

    def __init__(self, start: Wanted) -> None:
        self.start = start
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._lock = Lock()

    def __call__(self, environ: Environ, respond: Callable[..., Any]) -> Iterable[bytes]:
        """WSGI: never raises, so that nobody sees a traceback."""
        status, kind, body = self.answer(environ)
        headers = [("Content-Type", kind), *_HEADERS]
        headers.append(("Content-Security-Policy", f"{policy(True)}; frame-ancestors 'none'"))
        if "gzip" in environ.get("HTTP_ACCEPT_ENCODING", ""):
            body = gzip.compress(body, compresslevel=5, mtime=0)
            headers += [("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]
        if status == _STATUS[405]:
            headers.append(("Allow", "GET, HEAD"))
        respond(status, [*headers, ("Content-Length", str(len(body)))])
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]

    def answer(self, environ: Environ) -> Answer:
        """The answer to a request; a refusal is an answer too."""
        page = environ.get("PATH_INFO", "") == "/"
        try:
            check(environ)
            return self._routed(environ["PATH_INFO"], environ.get("QUERY_STRING", ""))
        except Refused as error:
            return _fault(error.status, str(error), page)
        except LlmroofError as error:
            return _fault(400, str(error), page)
        except Exception as error:  # last resort, as on the command line
            why = f"unexpected {type(error).__name__}: {error} (please report it)"
            return _fault(500, " ".join(why.split()), page)

    def _routed(self, path: str, query: str) -> Answer:
        if path == "/":
            wanted = page_request(asked(query), self.start)
            text = page_of(wanted, self._content(wanted), live=True)
            return "200 OK", _HTML, text.encode("utf-8")
        if path == "/content":
            return _json(self._content(page_request(asked(query), self.start)))
        if path == "/estimate":
            question = one_question(asked(query), self.start)
            return _json(estimate_document(estimate(**question), question))
        if path == "/names":
            return _json({"models": [*catalog.MODELS.files()], "gpus": [*catalog.HARDWARE.files()]})
        raise Refused(404, "no such address: there are /, /content, /estimate and /names")

    def _content(self, wanted: Wanted) -> Any:
        """The content of a page; the last few are kept while their spec files stay as they are.

        One at a time is made.
        """
        key = repr(wanted)
        with self._lock:
            if key not in self._kept or not current(self._kept[key][0]):
                with watched(catalog.MODELS, catalog.HARDWARE) as stamps:
                    self._kept[key] = (stamps, content(wanted))
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return self._kept[key][1]


def check(environ: Environ) -> None:
    """Raise Refused unless a browser on this machine reads one of our addresses."""
    host = environ.get("HTTP_HOST", "")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if name.lower() not in LOOPBACK:
        raise Refused(403, "this server answers on 127.0.0.1 and localhost only")
    origin, site = environ.get("HTTP_ORIGIN"), environ.get("HTTP_SEC_FETCH_SITE", "none")
    if origin not in (None, f"http://{host}") or site not in ("none", "same-origin"):
        raise Refused(403, "requests of other pages are not answered")
    if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
        raise Refused(405, "this server is read only: GET and HEAD")
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isdigit() or int(length) > 0:
        raise Refused(413, "a question has no body")
    if len(environ.get("QUERY_STRING", "")) > _QUERY:
        raise Refused(414, f"the query is longer than {_QUERY} characters")


def _json(document: Any) -> Answer:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    return "200 OK", _JSON, text.encode("utf-8")


def _fault(status: int, why: str, page: bool) -> Answer:
    """`Error: ...` as the command line prints it, as a small page where a page was asked for."""
    line = f"Error: {why}"
    if page:
        way_back = '<p><a href="/">Back to the start</a></p>'
        text = f"<!doctype html><title>llmroof</title><p>{html.escape(line)}</p>{way_back}"
        return _STATUS[status], _HTML, text.encode("utf-8", "replace")
    return _STATUS[status], _JSON, json.dumps({"error": line}).encode("utf-8")
