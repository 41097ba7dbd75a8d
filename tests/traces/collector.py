"""A receiver of OTLP over HTTP on loopback, for tests."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP on loopback; one that `hangs` takes a request, and never answers."""

    daemon_threads = True

    def __init__(self, *, hangs: bool = False) -> None:
        self.requests: list[tuple[str, ExportTraceServiceRequest]] = []
        self.asked, self.freed = threading.Event(), threading.Event()
        self.hangs = hangs
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/traces"


class Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, ExportTraceServiceRequest.FromString(body)))
        self.server.asked.set()
        if self.server.hangs:
            self.server.freed.wait()
            return
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Be quiet."""
