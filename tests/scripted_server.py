"""A scripted LM behind a real HTTP server on loopback, which can be told to fail."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import dspy
from scripted import Script, ScriptedEngine, answer_right

FAULTS = ("429", "500", "401", "reset", "timeout")
TIMEOUT_SECONDS = 0.3


class ScriptedServer:
    """Answers OpenAI-style chat requests by a script.

    Args:
        script: as for a scripted engine.
        fault: one of FAULTS, or None.
        share: share of the requests that fail, chosen by what they say, so that asking again fails
            again.
    """

    def __init__(
        self, script: Script = answer_right, *, fault: str | None = None, share: float = 1.0
    ) -> None:
        self.engine = ScriptedEngine(script)
        self.fault, self.share = fault, share
        self.failed: set[str] = set()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def lm(self, **options: Any) -> Any:
        defaults = {"api_key": "sk-hidden", "temperature": 0.0, "cache": False, "num_retries": 0}
        return dspy.LM(
            "openai/scripted",
            api_base=self.url,
            timeout=TIMEOUT_SECONDS if self.fault == "timeout" else 30,
            **{**defaults, **options},
        )

    def fails(self, text: str) -> bool:
        drawn = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 16**8
        failing = self.fault is not None and drawn < self.share
        if failing:
            self.failed.add(text)
        return failing

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 256  # more connections than that at once would be reset unasked


def _handler(owner: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            messages = body["messages"]
            if owner.fails(messages[-1]["content"]):
                self._fail(owner.fault)
                return
            shown = [
                SimpleNamespace(role=m["role"], text=m["content"])
                for m in messages
                if m["role"] != "system"
            ]
            system = "".join(m["content"] for m in messages if m["role"] == "system")
            request = SimpleNamespace(model=body["model"], system=system, messages=shown)
            text = owner.engine.complete(request).message.text
            self._send(
                200,
                {
                    "id": "1",
                    "object": "chat.completion",
                    "created": 0,
                    "model": body["model"],
                    "choices": [
                        {
                            "index": 0,
                            "finish_reason": "stop",
                            "message": {"role": "assistant", "content": text},
                        }
                    ],
                    "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
                },
            )

        def _fail(self, fault: str | None) -> None:
            if fault == "timeout":
                time.sleep(4 * TIMEOUT_SECONDS)
            if fault in ("timeout", "reset"):
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.close_connection = True
                self.connection.close()
                return
            self._send(int(fault or 500), {"error": {"message": "injected", "type": "injected"}})

        def _send(self, status: int, body: Any) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            pass

        def finish(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                super().finish()

    return Handler
