"""Serve only the routes that the page needs, and store each upload in a separate folder.

Gradio's server has routes that this page does not need: fetching URLs, recordings, run histories, a proxy. They are
blocked. Gradio also stores identical files of two users at the same path, so that deleting the upload of the first user
would delete that of the second.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from os import PathLike, fspath
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mfer_lightning.demo.temporary_uploads import MOST_BYTES

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_API = "/gradio_api"
_UPLOAD, _FILE = f"{_API}/upload", f"{_API}/file="

#: Routes used by a browser or Gradio's client: the page, its scripts, uploads, and the demo's only API function.
_ROUTES = re.compile(
    r"/|/(config|info|theme\.css|favicon\.ico|manifest\.json|robots\.txt)/?|/(static|assets|svelte)/.*|"
    rf"{_API}/((info|app_id|startup-events|theme\.css|upload|upload_progress|cancel|reset|queue/(join|data|status))/?"
    r"|(heartbeat|call|run|api)/[\w/.-]+)"
)

#: Maximum size in bytes of a request, not counting the file of an upload request.
_MORE = 1 << 20

_current: ContextVar[str | None] = ContextVar("mfer_demo_upload", default=None)


class UploadFolder(PathLike[str]):
    """Path where Gradio stores uploads: a new folder with an unguessable name for each upload request.

    Args:
        folder: the folder of all uploads.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __fspath__(self) -> str:
        return _current.get() or fspath(self.folder)

    def __str__(self) -> str:
        return fspath(self)


class GuardedRoutes:
    """ASGI middleware in front of Gradio's application.

    Requests for other routes are answered with status 404, and requests that are too large with status 413. An
    interrupted or rejected upload leaves no file.

    Args:
        app: Gradio's application.
        folder: the folder of all uploads.
        most_bytes: maximum size of an upload in bytes.
    """

    def __init__(self, app: Application, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self.app, self.folder, self.most_bytes = app, folder.resolve(), most_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close"})
        elif not self._is_ours(str(scope["path"])):
            await _answer(send, 404, "There is no such route.")
        else:
            await self._guarded(scope, receive, send)

    def _is_ours(self, path: str) -> bool:
        if path.startswith(_FILE):
            named = unquote(path.removeprefix(_FILE))
            return "://" not in named and self.folder in Path(named).resolve().parents
        return ".." not in unquote(path) and _ROUTES.fullmatch(path) is not None

    async def _guarded(self, scope: Message, receive: Receive, send: Send) -> None:
        uploads = scope["path"].rstrip("/") == _UPLOAD
        most = _MORE + (self.most_bytes if uploads else 0)
        taken, status = 0, 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise _TooLargeError
            return message

        async def noted(message: Message) -> None:
            nonlocal status
            if "status" in message:
                status = 413 if taken > most else message["status"]  # FastAPI catches the exception of `counted`
                message = {**message, "status": status}
            await send(message)

        own = self.folder / secrets.token_hex(16)
        token = _current.set(fspath(own) if uploads else None)
        try:
            await self.app(scope, counted, noted)
        except _TooLargeError:
            status = 413
            await _answer(send, 413, f"A request may have at most {most:,} bytes.")
        finally:
            _current.reset(token)
            if uploads and status != 200:
                shutil.rmtree(own, ignore_errors=True)


class _TooLargeError(Exception):
    """The request has too many bytes."""


async def _answer(send: Send, status: int, words: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": words.encode()})
