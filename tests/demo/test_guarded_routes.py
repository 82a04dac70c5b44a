"""Only the page's routes are served, request sizes are limited, and failed uploads leave no files. No Gradio here."""

from __future__ import annotations

import asyncio
from os import fspath
from pathlib import Path
from typing import Any

import pytest

from mfer_lightning.demo.guarded_routes import GuardedRoutes, UploadFolder


def ask(guarded: GuardedRoutes, path: str, *body: bytes) -> list[int]:
    """Send a request in chunks, and return the status codes of the responses."""
    sent: list[dict[str, Any]] = []
    pieces = iter(body or (b"",))

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": next(pieces, b"")}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(guarded({"type": "http", "path": path}, receive, send))
    return [message["status"] for message in sent if "status" in message]


class Server:
    """Stores the first two chunks of a request in the folder of uploads, and responds."""

    def __init__(self, folder: Path, status: int = 200) -> None:
        self.uploads, self.status = UploadFolder(folder), status
        self.asked: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        place = Path(self.uploads)
        place.mkdir(exist_ok=True)
        for number in range(2):
            (place / str(number)).write_bytes((await receive())["body"])
        await send({"type": "http.response.start", "status": self.status})


@pytest.mark.parametrize(
    "path", ["/", "/config", "/static/img/logo.svg", "/gradio_api/call/examine/1a", "/gradio_api/queue/join"]
)
def test_page_routes_are_served(tmp_path: Path, path: str) -> None:
    server = Server(tmp_path)
    assert ask(GuardedRoutes(server, tmp_path), path) == [200]
    assert server.asked == [path]


@pytest.mark.parametrize(
    "path",
    [
        "/docs",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file={folder}",
        "/gradio_api/file={folder}/../x",
        "/gradio_api/file={folder}/link",
        "/gradio_api/file=https://example.org",
        "/static/../x",
        "/static/%2e%2e/x",
        "/gradio_api/proxy=https://example.org",
        "/gradio_api/process_recording",
        "/gradio_api/upload/x",
    ],
)
def test_other_routes_do_not_reach_the_server(tmp_path: Path, path: str) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    server = Server(tmp_path)
    assert ask(GuardedRoutes(server, tmp_path), path.format(folder=tmp_path)) == [404]
    assert server.asked == []


def test_each_upload_has_its_own_folder_and_failed_ones_are_removed(tmp_path: Path) -> None:
    for _ in range(2):
        assert ask(GuardedRoutes(Server(tmp_path), tmp_path), "/gradio_api/upload", b"a", b"b") == [200]
    kept = list(tmp_path.iterdir())
    assert len(kept) == 2
    assert ask(GuardedRoutes(Server(tmp_path, 400), tmp_path), "/gradio_api/upload", b"a") == [400]
    assert set(tmp_path.iterdir()) == set(kept)
    assert fspath(UploadFolder(tmp_path)) == str(tmp_path)


def test_oversized_request_is_rejected_and_its_data_deleted(tmp_path: Path) -> None:
    guarded = GuardedRoutes(Server(tmp_path), tmp_path, most_bytes=1 << 20)
    assert ask(guarded, "/gradio_api/upload", bytes(1 << 20), bytes(2 << 20)) == [413]
    assert list(tmp_path.iterdir()) == []
    assert ask(guarded, "/gradio_api/upload", bytes(1 << 20), bytes(1 << 20)) == [200]
    assert ask(guarded, "/gradio_api/queue/join", bytes(2 << 20)) == [413]
