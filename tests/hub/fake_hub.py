"""A hub on loopback, with what huggingface_hub calls to make a repository and to send a folder."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_made_up_secret_token"


class FakeHub:
    """What it holds, and what goes wrong.

    Attributes:
        repos: OWNER/NAME -> whether it is private.
        files: OWNER/NAME -> name -> content, as of the last commit.
        requests: "METHOD path" of each.
        refuse: Part of "METHOD path" -> status it is answered with, or 0: the connection is cut.
    """

    def __init__(self) -> None:
        self.repos: dict[str, bool] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.refuse: dict[str, int] = {}
        self._objects: dict[str, bytes] = {}
        self.url = ""

    @contextlib.contextmanager
    def served(self) -> Iterator[FakeHub]:
        hub = self

        class Handler(_Handler):
            of = hub

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    def answer(self, method: str, path: str, body: bytes, token: str | None) -> tuple[int, Any]:
        """Status and content of the answer; status 0 cuts the connection."""
        for part, status in self.refuse.items():
            if part in f"{method} {path}":
                return status, {"error": f"refused for {token}"}
        if path.startswith("/object/"):
            self._objects[path.removeprefix("/object/")] = body
            return 200, {}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if token != TOKEN:
            return 401, {"error": "Invalid credentials in Authorization header"}
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        repo, _, action = path.removeprefix("/api/models/").partition(".git/" if ".git/" in path else "/")
        repo, action = (repo.strip("/"), action) if ".git/" in path else self._split(path)
        if repo not in self.repos:
            return 404, {"error": "Repository not found"}
        return self._of_repo(repo, action, body)

    def _split(self, path: str) -> tuple[str, str]:
        owner, name, *rest = path.removeprefix("/api/models/").split("/")
        return f"{owner}/{name}", "/".join(rest)

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        repo = f"{asked['organization']}/{asked['name']}"
        if repo in self.repos:
            return 409, {"error": "You already created this model repo"}
        private = asked.get("private", asked.get("visibility") == "private")
        self.repos[repo], self.files[repo] = bool(private), {}
        return 200, {"url": f"{self.url}/{repo}"}

    def _of_repo(self, repo: str, action: str, body: bytes) -> tuple[int, Any]:
        if action.startswith("preupload/"):
            asked = json.loads(body)["files"]
            return 200, {
                "files": [
                    {
                        "path": each["path"],
                        "uploadMode": "lfs" if each["path"].endswith(".safetensors") else "regular",
                        "shouldIgnore": False,
                    }
                    for each in asked
                ]
            }
        if action == "info/lfs/objects/batch":
            objects = json.loads(body)["objects"]
            actions = [
                {**each, "actions": {"upload": {"href": f"{self.url}/object/{each['oid']}"}}} for each in objects
            ]
            return 200, {"transfer": "basic", "objects": actions}
        if action.startswith("commit/"):
            return self._commit(repo, [json.loads(line) for line in body.splitlines()])
        return 200, {"id": repo, "modelId": repo, "private": self.repos[repo], "siblings": [], "tags": []}

    def _commit(self, repo: str, lines: list[dict[str, Any]]) -> tuple[int, Any]:
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.messages.append(value["summary"])
            elif line["key"] == "file":
                self.files[repo][value["path"]] = base64.b64decode(value["content"])
            else:
                content = self._objects[value["oid"]]
                assert hashlib.sha256(content).hexdigest() == value["oid"]
                self.files[repo][value["path"]] = content
        return 200, {"success": True, "commitOid": "c0ffee", "commitUrl": f"{self.url}/{repo}/commit/c0ffee"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    of: FakeHub

    def log_message(self, *_: Any) -> None:
        """Silent."""

    def _serve(self) -> None:
        path = self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.of.requests.append(f"{self.command} {path}")
        bearer = self.headers.get("authorization")
        status, content = self.of.answer(
            self.command, path, body, None if bearer is None else bearer.removeprefix("Bearer ")
        )
        if status == 0:
            self.close_connection = True
            self.connection.close()
            return
        answer = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_HEAD = _serve  # noqa: N815 - names of http.server
