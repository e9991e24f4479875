"""An object store on this machine, and a way to it on which things go wrong."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support import PATIENCE_S

SECRET = "marker-of-a-secret-0123456789"
BUCKET = "pairs"
ALL_IS_WELL, DROP, HANG = 0, -1, -2

Trouble = Callable[[str, str], int]
"""What happens to a request, by method and path: nothing, a status of the server, a connection that drops or hangs."""


@contextmanager
def s3_server() -> Iterator[int]:
    """A server of S3 with an empty bucket, for as long as it is needed; gives its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("PUT", f"/{BUCKET}")
                assert connection.getresponse().status == 200
                break
            except OSError:
                assert process.poll() is None, "the server has ended"
                assert time.monotonic() < end, "the server does not answer"
                time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


class TroubledWay:
    """A proxy before the server.

    Attributes:
        trouble: What happens to the requests that come; may be changed at any time.
        port: Where it listens.
        requests: Method and path of all that came.
    """

    def __init__(self, server: int):
        self.trouble: Trouble = lambda method, path: ALL_IS_WELL
        self.requests: list[tuple[str, str]] = []
        self._end = threading.Event()
        way = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1  # head and body in one packet

            def log_message(self, *_: object) -> None:
                pass

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                way.requests.append((self.command, self.path))
                status = way.trouble(self.command, self.path)
                if status == HANG:
                    way._end.wait()
                if status < 0:
                    self.close_connection = True
                    return
                if status:  # a server says more of a request than anybody should read
                    text = f"<Error><Code>Any</Code><AWSAccessKeyId>{SECRET}</AWSAccessKeyId></Error>".encode()
                    return self._answer(status, text, {})
                connection = http.client.HTTPConnection("127.0.0.1", server, timeout=20)
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                self._answer(answer.status, answer.read(), dict(answer.headers))
                connection.close()

            def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                headers = {k: v for k, v in headers.items() if k.lower() not in ("transfer-encoding", "connection")}
                if self.command != "HEAD":
                    headers = {k: v for k, v in headers.items() if k.lower() != "content-length"}
                    headers["Content-Length"] = str(len(body))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128  # whoever finds it full, as the fifth of many at once, tries again in a second

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._end.set()
        self._server.shutdown()
        self._server.server_close()
