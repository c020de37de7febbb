"""A hub of one process on the loopback: the few routes that the real client asks for."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "1" * 40


class Hub:
    """Repositories by name: {name: {file: content}}; `refuse`: a status for every request."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.asked: list[str] = []
        self.refuse = 0
        self.address = ""


@contextmanager
def hub_on_loopback() -> Iterator[Hub]:
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: Any) -> None:
            pass

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def answer(self, value: Any, status: int = 200, **headers: str) -> None:
            content = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name.replace("_", "-"), text)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def do_POST(self) -> None:
            body = self.body()
            hub.asked.append(f"POST {self.path}")
            if hub.refuse:
                return self.answer({"error": "no"}, hub.refuse)
            if self.path == "/api/repos/create":
                told = json.loads(body)
                name = f"{told['organization']}/{told['name']}"
                if name in hub.repositories:
                    return self.answer({"error": "exists", "url": f"{hub.address}/{name}"}, 409)
                hub.repositories[name] = {}
                return self.answer({"url": f"{hub.address}/{name}", "id": name})
            if self.path == "/api/validate-yaml":
                return self.answer({"errors": [], "warnings": []})
            if "/preupload/" in self.path:
                rows = [
                    {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for one in json.loads(body)["files"]
                ]
                return self.answer({"files": rows})
            if found := re.match(r"/api/models/(.+)/commit/", self.path):
                for line in body.splitlines():
                    one = json.loads(line)
                    if one["key"] == "file":
                        content = base64.b64decode(one["value"]["content"])
                        hub.repositories[found[1]][one["value"]["path"]] = content
                url = f"{hub.address}/{found[1]}/commit/{COMMIT}"
                return self.answer({"success": True, "commitOid": COMMIT, "commitUrl": url})
            return self.answer({"error": "what?"}, 404)

        def do_GET(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            if hub.refuse:
                return self.answer({"error": "no"}, hub.refuse)
            path = self.path.split("?")[0]
            if found := re.match(r"/api/models/([^/]+/[^/]+)/tree/", path):
                rows = [
                    {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
                    for name, content in hub.repositories.get(found[1], {}).items()
                ]
                return self.answer(rows)
            if found := re.match(r"/api/models/([^/]+/[^/]+)(/revision/.*)?$", path):
                if found[1] not in hub.repositories:
                    return self.answer(
                        {"error": "none"}, 404, X_Error_Code="RepoNotFound", X_Error_Message="none"
                    )
                names = [{"rfilename": name} for name in hub.repositories[found[1]]]
                return self.answer({"id": found[1], "sha": COMMIT, "siblings": names})
            if found := re.match(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)$", path):
                content = hub.repositories.get(found[1], {}).get(found[2])
                if content is None:
                    return self.answer(b"", 404, X_Error_Code="EntryNotFound")
                tag = f'"{hashlib.sha256(content).hexdigest()}"'
                return self.answer(content, ETag=tag, X_Repo_Commit=COMMIT)
            return self.answer({"error": "what?"}, 404)

        do_HEAD = do_GET

    return Handler
