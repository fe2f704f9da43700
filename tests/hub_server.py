"""A server on this machine that speaks as much of the Hugging Face hub's API as fetching files needs."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What it serves and what it was asked. `cut`: {file: after how many bytes of an answer the connection breaks},
    each once; `replaced`: {file: what is sent in its place}."""

    url: str
    repos: dict[str, Path]
    cut: dict[str, int] = field(default_factory=dict)
    replaced: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # (file, Range)


@contextmanager
def serve(repos: dict[str, Path]) -> Iterator[Hub]:
    """{"owner/name": folder} on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(self.path.partition("?")[0])
            for repo, folder in repos.items():
                if path in (f"/api/models/{repo}", f"/api/models/{repo}/revision/main"):
                    files = sorted(x for x in folder.rglob("*") if x.is_file())
                    siblings = [
                        {"rfilename": x.relative_to(folder).as_posix(), "size": x.stat().st_size} for x in files
                    ]
                    self._send(200, json.dumps({"id": repo, "sha": COMMIT, "siblings": siblings}).encode())
                    return
                if path.startswith(f"/{repo}/resolve/{COMMIT}/"):
                    self._send_file(folder, path.removeprefix(f"/{repo}/resolve/{COMMIT}/"))
                    return
            self._send(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})

        def _send_file(self, folder: Path, name: str) -> None:
            hub.asked.append((name, self.headers.get("Range")))
            content = hub.replaced.get(name, (folder / name).read_bytes())
            begin = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
            headers = {"Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"} if begin else {}
            self._send(206 if begin else 200, content[begin:], headers, hub.cut.pop(name, None))

        def _send(self, status: int, body: bytes, headers: dict = {}, cut: int | None = None) -> None:  # noqa: B006
            self.send_response(status)
            for name, value in {"Content-Length": len(body), "Content-Type": "application/json", **headers}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body[:cut])
            if cut is not None:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = Hub(f"http://127.0.0.1:{server.server_port}", repos)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
