"""The page over HTTP, on loopback: Starlette answers, uvicorn serves."""

from __future__ import annotations

import contextlib
import errno
import json
import socket
from importlib import resources
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from finetune.demo_page.answers import Answers
from finetune.errors import Change, OutputError, RecipeError

HOST = "127.0.0.1"
MOST = 4_000_000  # bytes of a request: a million characters in the longest of alphabets
FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
# Nothing from elsewhere, and nobody elsewhere may show the page in a frame or guess what its files are.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def listen(port: int) -> socket.socket:
    """Open a socket on loopback, before the model is loaded. Port 0: any free port.

    Raises:
        RecipeError: It is not a port.
        OutputError: The port is in use, or not allowed for this user.
    """
    if not 0 <= port <= 65535:
        raise RecipeError("expected a number from 0 to 65535; 0: any that is free.", argument="port", found=port)
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
        found.listen()  # who comes while the model is loaded waits
    except OSError as error:
        found.close()
        why = "another program listens there." if error.errno == errno.EADDRINUSE else f"{error.strerror}."
        free = Change(arguments={"port": 0}, note="any that is free")
        raise OutputError(why, free, argument="port", found=port) from error
    return found


def application(answers: Answers) -> Starlette:
    """GET / is the page, GET /model says what the model is, POST /answer takes {"text", "pair"} as JSON.

    Requests with another host name than this machine's own are refused, so that a foreign page whose name resolves to
    this machine (DNS rebinding) reads nothing. Its forms cannot send JSON.
    """

    async def model(_: Request) -> Response:
        return JSONResponse(answers.model(), headers=HEADERS)

    async def answer(request: Request) -> Response:
        text, pair, why = _asked(await _body(request), request, answers)
        if why:
            return JSONResponse({"error": why}, status_code=400, headers=HEADERS)
        return JSONResponse(await run_in_threadpool(answers.answer, text, pair), headers=HEADERS)

    routes = [Route(path, _file(*file)) for path, file in FILES.items()]
    routes += [Route("/model", model), Route("/answer", answer, methods=["POST"])]
    names = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False)
    return Starlette(routes=routes, middleware=[names])


def _file(name: str, kind: str) -> Any:
    content = resources.files("finetune.demo_page").joinpath("static", name).read_bytes()

    async def send(_: Request) -> Response:
        return Response(content, media_type=kind, headers=HEADERS)

    return send


async def _body(request: Request) -> bytes | None:
    """None: too long."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MOST:
            return None
    return bytes(content)


def _asked(body: bytes | None, request: Request, answers: Answers) -> tuple[str, str | None, str]:
    """First and second text, and what is wrong with what was sent."""
    if body is None:
        return "", None, f"The text is too long: more than {MOST:,} bytes."
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        return "", None, "Expected JSON (content-type: application/json)."
    try:
        asked = json.loads(body)
        text, pair = asked["text"], asked.get("pair")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", None, 'Expected {"text": "…"}.'
    has_pairs = answers.classifier.reading.has_pairs
    if not isinstance(text, str) or not isinstance(pair, str if has_pairs else None.__class__):
        return "", None, 'Expected {"text": "…", "pair": "…"}.' if has_pairs else 'Expected {"text": "…"}.'
    # Half of a character of two halves is none, and no tokenizer takes it.
    return *(_whole(each) for each in (text, pair)), ""  # type: ignore[return-value]


def _whole(text: str | None) -> str | None:
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")


class Server:
    """Serves until it is told to stop, by Ctrl-C or by `stop`.

    Attributes:
        url: Address of the page.
    """

    def __init__(self, answers: Answers, listening: socket.socket) -> None:
        self.url = f"http://{HOST}:{listening.getsockname()[1]}"
        self._listening = listening
        config = uvicorn.Config(
            application(answers),
            log_level="error",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=1,  # seconds, for answers on their way
        )
        self._server = uvicorn.Server(config)

    def serve(self) -> None:
        """Serve until Ctrl-C, which ends it without raising anything."""
        with self._listening, contextlib.suppress(KeyboardInterrupt):
            self._server.run(sockets=[self._listening])

    def stop(self) -> None:
        """Stop the server from another thread."""
        self._server.should_exit = True
