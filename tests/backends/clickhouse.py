"""ClickHouse's engine behind its HTTP interface, as far as the Collector's exporter speaks it.

clickhouse.py FOLDER PORT. A question by GET is answered in JSON, one row on each line.
"""

import re
import struct
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from chdb.session import Session

GREETING = "SELECT displayName(), version(), revision(), timezone()"


def text(value: str) -> bytes:
    return bytes([len(value)]) + value.encode()


def greeting(version: str) -> bytes:
    """One row in the form of newer clients. Revision 0 has them read all else in the plain form, which the engine writes."""
    columns = [("String", text("chdb")), ("String", text(version)), ("UInt32", struct.pack("<I", 0)), ("String", text("UTC"))]
    head = b"\x01\x00\x02" + struct.pack("<i", -1) + b"\x00" + bytes([len(columns), 1])
    return head + b"".join(text(f"c{at}") + text(kind) + b"\x00" + value for at, (kind, value) in enumerate(columns))


class Questions(BaseHTTPRequestHandler):
    """One connection. A client may hold several, and ask nothing on some of them."""

    session: Session
    # The engine takes one question at a time.
    turn = threading.Lock()

    def do_GET(self) -> None:
        self.answer(lambda: self.session.query(self.parameter("query"), "JSONEachRow").bytes())

    def do_POST(self) -> None:
        body, query = self.body(), self.parameter("query")
        if query:
            self.answer(lambda: self.insert(query, body))
        elif body.decode() == GREETING:
            self.answer(lambda: greeting(self.session.query("SELECT version()", "TSVRaw").bytes().decode().strip()))
        else:
            self.answer(lambda: self.session.query(body.decode(), "Native").bytes())

    def insert(self, query: str, body: bytes) -> bytes:
        table, columns = re.match(r"\s*INSERT INTO (\S+)\s*\(([^)]*)\)", query).groups()
        with tempfile.NamedTemporaryFile(suffix=".native") as file:
            file.write(body)
            file.flush()
            rows = f"SELECT {columns} FROM file('{file.name}', 'Native')"
            self.session.query(f"INSERT INTO {table} ({columns}) {rows}")
        return b""

    def parameter(self, name: str) -> str:
        return parse_qs(urlsplit(self.path).query).get(name, [""])[0]

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while length := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(length))
            self.rfile.readline()
        return b"".join(parts)

    def answer(self, work) -> None:
        try:
            with self.turn:
                status, body = 200, work()
        except Exception as error:  # What the engine refuses is the client's to read.
            status, body = 500, str(error).encode()
            print(error, file=sys.stderr, flush=True)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass


Questions.session = Session(sys.argv[1])
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Questions).serve_forever()
