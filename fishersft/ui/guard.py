"""What the server refuses before a page runs: names that are not its own and, on a hosted demo, more than a visitor may send.

It also tells nobody in which folder the dashboard is.  It stands
before Streamlit as ASGI middleware (https://asgi.readthedocs.io) and knows no page.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from streamlit import config, runtime
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from fishersft import paths
from fishersft.ui.session import public
from fishersft.ui.uploads import MB, MOST_PUBLIC_MB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

UPLOAD, METRICS = "/_stcore/upload_file/", "/_stcore/metrics"
MOST_SENT, MOST_SENT_BY_ALL = 3 * MOST_PUBLIC_MB * MB, 500 * MB  # bytes of files that Streamlit keeps in memory for its visitors
TOO_MUCH = f"This demo keeps at most {MOST_SENT // MB} MB of a visitor's files, and {MOST_SENT_BY_ALL // MB} MB in all."


def middleware() -> list[Middleware]:
    """For `st.App`, by Streamlit's settings as they are when the server starts."""
    hosts = config.get_option("server.allowedHosts")
    named = [Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)] if hosts else []
    return [*named, Middleware(NamelessFolder), *([Middleware(HostedDemo)] if public() else [])]


class NamelessFolder:
    """The first message to a browser names the file that Streamlit runs; the folder is taken out of it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self.folder = app, str(paths.root()).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def without_folder(message: Message) -> None:
            data = message.get("bytes") or b""
            if self.folder in data and (said := ForwardMsg.FromString(data)).HasField("new_session"):
                said.new_session.main_script_path = Path(said.new_session.main_script_path).name
                message = {**message, "bytes": said.SerializeToString()}
            await send(message)

        await self.app(scope, receive, without_folder if scope["type"] == "websocket" else send)


class HostedDemo:
    """No metrics, and no more files than there is room for: Streamlit limits each file, not how many it keeps of a visitor."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.under_way: Counter[str] = Counter()  # bytes that are being sent, of each visitor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path.endswith(METRICS):
            await PlainTextResponse("Not found.", 404)(scope, receive, send)
        elif UPLOAD in path and scope["method"] == "PUT":
            visitor, told = path.split("/")[-2], Headers(scope=scope).get("content-length", "")
            size = min(int(told), MOST_PUBLIC_MB * MB) if told.isdecimal() else MOST_PUBLIC_MB * MB
            with self._counted(visitor, size):
                if self._too_much(visitor):
                    await _pass_over(receive, MOST_PUBLIC_MB * MB)
                    await PlainTextResponse(TOO_MUCH, 413)(scope, receive, send)
                else:
                    await self.app(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    @contextmanager
    def _counted(self, visitor: str, size: int) -> Iterator[None]:
        self.under_way[visitor] += size
        try:
            yield
        finally:
            self.under_way[visitor] -= size
            if self.under_way[visitor] <= 0:
                del self.under_way[visitor]

    def _too_much(self, visitor: str) -> bool:
        kept: dict[str, dict[str, Any]] = runtime.get_instance().uploaded_file_mgr.file_storage  # type: ignore[attr-defined]
        sizes = {who: sum(len(one.data) for one in list(files.values())) for who, files in list(kept.items())}
        mine = sizes.get(visitor, 0) + self.under_way[visitor]
        return mine > MOST_SENT or sum(sizes.values()) + self.under_way.total() > MOST_SENT_BY_ALL


async def _pass_over(receive: Receive, most: int) -> None:
    """Let what is sent go by, since a browser reads an answer only after it; up to so many bytes."""
    more = True
    while more and most > 0:
        message = await receive()
        more, most = message.get("more_body", False), most - len(message.get("body", b""))
