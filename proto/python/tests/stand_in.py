"""What stands in for an agent: it takes OTLP and files, and answers what it was told to."""

import contextlib
import http.server
import json
import logging
import os
import socketserver
import tempfile
import threading
import time
import unittest
from unittest import mock

import runlog
from runlog import _delivery


class StandIn(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.order = []
        self.records = []
        self.files = {}
        self.answers = {}
        self.asked = []
        self.authorizations = {}
        #: What requests are answered with, the next one first, and their records.
        self.statuses = []
        self.requests = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    def close(self):
        self.shutdown()
        self.server_close()

    def take(self, request):
        for record in records(request):
            self.records.append(record)
            self.order.append(record.name or "line")


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.body())
        self.server.requests.append(list(records(request)))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == 200:
            self.server.take(request)
        self.answer(status, b"{}")

    def do_HEAD(self):
        held = self.server.files.get(self.path.split("/")[-1])
        self.answer(404 if held is None else 200, b"", {"runlog-held-bytes": str(len(held or b""))})

    def do_PUT(self):
        digest = self.path.split("/")[-1]
        self.server.files[digest] = self.body()
        self.server.order.append(f"file {digest}")
        self.answer(200, b"{}")

    def do_GET(self):
        self.server.asked.append(self.path)
        said = self.server.answers.get(self.path)
        if said is None:
            fault = {"error": f"there is no {self.path}", "reason": "UNKNOWN_RUN", "field": "run_id"}
            self.answer(404, json.dumps(fault).encode())
        else:
            self.answer(200, said if isinstance(said, bytes) else json.dumps(said).encode())

    def body(self):
        return self.rfile.read(int(self.headers["content-length"]))

    def answer(self, status, body, head=None):
        self.server.authorizations[self.command] = self.headers["authorization"]
        self.send_response(status)
        for name, value in (head or {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Told:
    """A record, and what its resource says."""

    def __init__(self, resource, record):
        self.resource = resource
        self.name = record.get("eventName", "")
        self.body = record["body"]["stringValue"]
        self.severity = record.get("severityNumber", 0)
        self.time = int(record["timeUnixNano"])
        self.said = attributes(record)

    def __repr__(self):
        return f"{self.name} {self.body} {self.said}"


def records(request):
    for resource in request["resourceLogs"]:
        about = attributes(resource["resource"])
        for scope in resource["scopeLogs"]:
            for record in scope["logRecords"]:
                yield Told(about, record)


def attributes(of):
    return {pair["key"]: plain(pair["value"]) for pair in of["attributes"]}


def plain(value):
    """Give an ``AnyValue`` as Python has it."""
    for kind, said in value.items():
        if kind == "intValue":
            return int(said)
        if kind == "doubleValue":
            return float(said)
        if kind == "arrayValue":
            return [plain(one) for one in said["values"]]
        if kind == "kvlistValue":
            return {pair["key"]: plain(pair["value"]) for pair in said["values"]}
        return said
    return None


class Case(unittest.TestCase):
    """A test with a folder of its own, and nothing of this machine's settings."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.state = os.path.join(self.folder, "state")
        for name in [name for name in os.environ if name.startswith("RUNLOG_")]:
            self.variable(name, None)
        # Nobody listens there.
        self.variable("RUNLOG_SOCKET", os.path.join(self.folder, "nobody"))
        self.variable("RUNLOG_STATE_DIR", self.state)
        self.variable("PATH", "/usr/bin:/bin")
        self.said = []
        seen = mock.patch.object(logging.getLogger("runlog"), "warning", lambda form, *of: self.said.append(form % of))
        seen.start()
        self.addCleanup(seen.stop)
        nobody = mock.patch("runlog._surroundings.API_PORT", 1)
        nobody.start()
        self.addCleanup(nobody.stop)

    def variable(self, name, value):
        changed = mock.patch.dict(os.environ)
        changed.start()
        self.addCleanup(changed.stop)
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, content=b"x"):
        path = self.path(*name.split("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def stand_in(self):
        agent = StandIn()
        self.addCleanup(agent.close)
        return agent

    def workspace(self, agent=None):
        """Give a workspace at the stand-in, or one whose agent is away."""
        given = {"address": agent.address} if agent else {}
        workspace = runlog.Workspace(spool=self.path("spool"), **given)
        self.addCleanup(self.forget, workspace)
        return workspace

    def forget(self, workspace):
        way = workspace.delivery()
        way.end()
        for key in [key for key, one in _delivery._deliveries.items() if one is way]:
            del _delivery._deliveries[key]

    def run_at(self, agent=None, **given):
        return runlog.Experiment(self.workspace(agent), "e").start_logging(**given)

    def spooled(self):
        """Give the records in the spool."""
        into = StandIn.__new__(StandIn)
        into.records, into.order = [], []
        with contextlib.suppress(FileNotFoundError):
            for name in sorted(os.listdir(self.path("spool"))):
                if name.endswith(".jsonl"):
                    with open(self.path("spool", name), encoding="utf-8") as file:
                        for line in file:
                            into.take(json.loads(line))
        # Of how many files it is depends on how slow this is, and their names have no order.
        return sorted(into.records, key=lambda one: one.time)

    def eventually(self, is_so):
        until = time.monotonic() + 120
        while not is_so():
            self.assertLess(time.monotonic(), until)
            time.sleep(0.01)
