import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from export.remote import stream
from registry.errors import NotFound, Unavailable

QUESTION = [{"role": "user", "content": "q"}]


@contextmanager
def _server(status: int, body: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _event(text: str) -> str:
    return f"data: {json.dumps({'choices': [{'delta': {'content': text}}]})}\n\n"


def test_the_answer_comes_piece_by_piece() -> None:
    with _server(200, ": hello\n\n" + _event("Par") + _event("is") + "data: [DONE]\n\n") as (url, asked):
        assert list(stream(url, "address@prod", {}, QUESTION, {"max_tokens": 3})) == ["Par", "is"]
    assert asked == [{"model": "address@prod", "messages": QUESTION, "stream": True, "max_tokens": 3}]


def test_the_servers_own_words_are_shown() -> None:
    with (
        _server(404, json.dumps({"error": {"message": "There is no x:1."}})) as (url, _),
        pytest.raises(NotFound) as no,
    ):
        list(stream(url, "x:1", {}, QUESTION, {}))
    assert no.value.message == "There is no x:1."


@pytest.mark.parametrize("end", ["", 'data: {"error": {"message": "The engine died."}}\n\n'])
def test_an_answer_that_breaks_off_is_an_error(end: str) -> None:
    with _server(200, _event("Par") + end) as (url, _), pytest.raises(Unavailable, match="broke off"):
        list(stream(url, "x", {}, QUESTION, {}))


def test_no_server_is_one_line_with_what_to_type() -> None:
    with pytest.raises(Unavailable, match="No server answers") as caught:
        list(stream("http://127.0.0.1:1", "x", {}, QUESTION, {}))
    assert "adaptory serve" in caught.value.hint
