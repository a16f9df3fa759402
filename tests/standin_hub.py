"""A stand-in for the Hugging Face Hub on loopback: enough of its protocol to read made-up data sets through the real clients."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_API = re.compile(r"/api/datasets/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?$")
_FILE = re.compile(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)$")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: StandIn

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.requests.append(f"{self.command} {unquote(path)}")
        api, file = _API.match(path), _FILE.match(path)
        repository = (api or file)[1] if api or file else ""
        home = self.hub.root / repository
        if self.hub.broken():
            return self._send(500, {"error": "injected"})
        if not repository or not home.is_dir():
            return self._send(404, {"error": "Repository not found"}, **{"X-Error-Code": "RepoNotFound"})
        if repository in self.hub.gated and file:
            said = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to this repository is restricted"}
            return self._send(403, {"error": "gated"}, **said)
        if file:
            return self._file(home / unquote(file[3]))
        entries = [self._entry(home, one) for one in sorted(home.rglob("*")) if one.is_file()]
        if api and api[2] == "tree":
            below = unquote(api[4] or "")
            return self._send(200, [one for one in entries if one["path"].startswith(below)])
        if api and api[2] == "paths-info":
            wanted = json.loads(body)["paths"] if body.startswith(b"{") else []
            return self._send(200, [one for one in entries if one["path"] in wanted])
        siblings = [{"rfilename": one["path"]} for one in entries]
        known = {"id": repository, "sha": COMMIT, "private": False, "gated": False, "disabled": False, "tags": [], "downloads": 0}
        return self._send(200, known | {"siblings": siblings, "likes": 0})

    do_GET = do_HEAD = do_POST = _answer  # noqa: N815 (the library's names)

    @staticmethod
    def _entry(home: Path, path: Path) -> dict:
        oid = hashlib.sha1(path.read_bytes()).hexdigest()
        return {"type": "file", "path": path.relative_to(home).as_posix(), "size": path.stat().st_size, "oid": oid}

    def _file(self, path: Path) -> None:
        if not path.is_file():
            return self._send(404, {"error": "Entry not found"}, **{"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        content = path.read_bytes()
        tag = f'"{hashlib.sha1(content).hexdigest()}"'
        return self._send(200, content, **{"X-Repo-Commit": COMMIT, "ETag": tag})

    def _send(self, status: int, content: object, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class StandIn:
    """Serves ``ROOT/owner/name/...`` as data sets, every revision being the same commit. `fail_every` answers 500 to every so
    many requests, `gated` repositories give their files to nobody."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.requests: list[str] = []
        self.gated: set[str] = set()
        self.fail_every = 0
        self.endpoint = ""

    def broken(self) -> bool:
        return bool(self.fail_every) and len(self.requests) % self.fail_every == 0

    def add(self, repository: str, splits: dict[str, list[dict]], name: str = "default") -> None:
        """A repository (or one more configuration of it) with JSON lines and the card that names them."""
        home = self.root / repository
        for split, rows in splits.items():
            target = home / name / f"{split}.jsonl"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("".join(json.dumps(row) + "\n" for row in rows))
        known = sorted({path.parent.name for path in home.glob("*/*.jsonl")})
        configs = "".join(
            f"- config_name: {one}\n  data_files:\n"
            + "".join(f"  - split: {p.stem}\n    path: {one}/{p.name}\n" for p in sorted((home / one).glob("*.jsonl")))
            for one in known
        )
        (home / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")


@contextmanager
def standin_hub(root: Path) -> Iterator[StandIn]:
    hub = StandIn(root)
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
