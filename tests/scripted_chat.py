"""A real HTTP server on 127.0.0.1 that speaks the OpenAI chat protocol and answers from a script."""

from __future__ import annotations

import http.server
import json
import math
import socketserver
import threading
from collections.abc import Callable
from typing import Any

Said = dict[str, Any] | tuple[int, dict[str, Any] | bytes] | Callable[[Any], None] | None


def says(text: str, **message: Any) -> dict[str, Any]:
    """A reply without probabilities."""
    return {"content": text, **message}


def gives(**likely: float) -> dict[str, Any]:
    """A reply of one token with probabilities, the likeliest said; `__` in a name stands for a space."""
    probabilities = {token.replace("__", " "): p for token, p in likely.items()}
    told = [{"token": t, "logprob": math.log(p), "bytes": None} for t, p in probabilities.items()]
    said = max(told, key=lambda t: t["logprob"])
    return {"content": said["token"], "logprobs": {"content": [{**said, "top_logprobs": told}]}}


def fails(status: int, message: str = "scripted", **error: Any) -> tuple[int, dict[str, Any]]:
    """An HTTP error in the protocol's form; the client is told to try again at once."""
    return status, {"error": {"message": message, "type": "scripted", "param": None, "code": None, **error}}


class ScriptedChat:
    """`script(request, count)` answers the count-th request (from 1): a message, an error, None to cut the line, or a function
    that writes whatever it likes to the line.

    Attributes:
        base_url: where it listens.
        requests: the bodies that came, in order.
        headers: their headers, names in lower case.
    """

    def __init__(self, script: Callable[[dict[str, Any], int], Said]) -> None:
        self.script, self.requests, self.headers = script, [], []
        lock = threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    outer.requests.append(body)
                    outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                    count = len(outer.requests)
                said = outer.script(body, count) if self.path == "/v1/chat/completions" else fails(404)
                if said is None:
                    self.close_connection = True
                    self.connection.close()
                    return
                if callable(said):
                    self.close_connection = True
                    return said(self.wfile)
                status, content = said if isinstance(said, tuple) else (200, _completion(said, body, count))
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.send_header("retry-after-ms", "1")
                if 300 <= status < 400:
                    self.send_header("Location", str(content["to"]))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def prompts(self) -> list[str]:
        return [request["messages"][-1]["content"] for request in self.requests]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _completion(said: dict[str, Any], request: dict[str, Any], count: int) -> dict[str, Any]:
    said = dict(said)
    logprobs, reason, usage = said.pop("logprobs", None), said.pop("finish_reason", "stop"), said.pop("usage", None)
    message = {"role": "assistant", **said}
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": logprobs if request.get("logprobs") else None}
    return {
        "id": f"chat-{count}",
        "object": "chat.completion",
        "created": 0,
        "model": request["model"],
        "choices": [choice],
        **({"usage": usage} if usage else {}),
    }
