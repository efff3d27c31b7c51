# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A hub on the loopback interface that speaks as much of Hugging Face's protocol as is needed.

Small files come straight from the hub; large ones redirect to a second server, as to a CDN, and
state their SHA-256. Transfers can be made to break or to deliver other bytes.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class LoopbackHub:
    """What the hub serves, how it misbehaves, and what it was asked.

    Attributes:
        files: Content by path in the repository.
        delivered: Other content that is sent instead, under the stated checksum.
        breaks: Number of transfers of large files that still have to break in the middle.
        status: Answer to every request with this error, 0: behave.
        plain_etags: State etags that are no checksums.
        requests: (method, path, Range header) of every request so far.
    """

    files: dict[str, bytes] = field(repr=False)
    delivered: dict[str, bytes] = field(default_factory=dict, repr=False)
    breaks: int = 0
    status: int = 0
    plain_etags: bool = False
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    endpoint: str = ""
    cdn: str = ""

    def transfers(self) -> list[str]:
        """Return the Range header of each transfer of a large file, empty where there was none."""
        return [r for method, path, r in self.requests if method == "GET" and "/cdn/" in path]


def is_large(name: str) -> bool:
    return name.endswith(".pt")


def checksum(name: str, content: bytes) -> str:
    """Return what the hub states: SHA-256 of large files, git's blob id of small ones."""
    if is_large(name):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


@contextmanager
def running_hub(folder: Path, prefix: str) -> Iterator[LoopbackHub]:
    """Serve the files of a folder as ``prefix/name`` of every repository, until the block ends."""
    hub = LoopbackHub({f"{prefix}/{p.name}": p.read_bytes() for p in folder.iterdir()})
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub)) for _ in range(2)]
    hub.endpoint, hub.cdn = (f"http://127.0.0.1:{s.server_address[1]}" for s in servers)
    threads = [
        threading.Thread(target=s.serve_forever, args=(0.02,), daemon=True) for s in servers
    ]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()


def _handler(hub: LoopbackHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            hub.requests.append((self.command, self.path, self.headers.get("Range", "")))
            marker = "/cdn/" if "/cdn/" in self.path else f"/{self.revision()}/"
            name = self.path.split(marker, 1)[-1]
            if hub.status or name not in hub.files:
                missing = {} if hub.status else {"X-Error-Code": "EntryNotFound"}
                self.reply(hub.status or 404, {"X-Repo-Commit": COMMIT, **missing})
            elif marker == "/cdn/":
                self.transfer(hub.delivered.get(name, hub.files[name]))
            else:
                self.describe(name, hub.files[name])

        def revision(self) -> str:
            return "resolve/main" if "/resolve/main/" in self.path else f"resolve/{COMMIT}"

        def describe(self, name: str, content: bytes) -> None:
            stated = "W/v1" if hub.plain_etags else checksum(name, content)
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{stated}"', "Accept-Ranges": "bytes"}
            if is_large(name):
                headers["X-Linked-Etag"] = headers.pop("ETag")
                headers["X-Linked-Size"] = str(len(content))
                headers["Location"] = f"{hub.cdn}/cdn/{name}"
                self.reply(302, headers)
            else:
                self.reply(200, headers, hub.delivered.get(name, content))

        def transfer(self, content: bytes) -> None:
            asked = self.headers.get("Range", "")
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            part = content[start:]
            headers = {"Accept-Ranges": "bytes"}
            if asked:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            breaking = hub.breaks > 0
            if breaking:
                hub.breaks -= 1
            self.reply(
                206 if asked else 200, headers, part, sent=len(part) // 2 if breaking else None
            )

        def reply(
            self, status: int, headers: dict[str, str], body: bytes = b"", sent: int | None = None
        ) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body[:sent])
            if sent is not None and sent < len(body):
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler
