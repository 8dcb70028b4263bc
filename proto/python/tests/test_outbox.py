"""Delivering: to agents that are slow, full, strange or away."""

import contextlib
import json
import logging
import os
import socket
import tempfile
import threading
import time
import unittest
from unittest import mock

import runlog
from runlog import _outbox


class FakeAgent:
    """Answers on a socket, each request with the next of the given statuses and then with 200."""

    def __init__(self, path, statuses=()):
        self.requests = []
        self.statuses = list(statuses)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(8)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                try:
                    threading.Thread(target=self.serve_one, args=(connection,), daemon=True).start()
                except RuntimeError:
                    # There are none for the handler either, so there is one connection.
                    self.serve_one(connection)

    def serve_one(self, connection):
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as file:
            while self.answer(connection, file):
                pass

    def answer(self, connection, file):
        head = []
        for line in iter(file.readline, b"\r\n"):
            if not line:
                return False
            head.append(line.lower())
        if head[0].startswith(b"get "):
            # It knows of no levels.
            connection.sendall(b"HTTP/1.1 404 X\r\nContent-Length: 2\r\n\r\n{}")
            return True
        length = next(int(line.split(b":")[1]) for line in head if line.startswith(b"content-length"))
        body = file.read(length)
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            self.requests.append(body)
        connection.sendall(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n{}" % status)
        return True

    def bodies(self):
        return list(bodies(self.requests))

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def bodies(requests):
    for request in requests:
        for resource in json.loads(request)["resourceLogs"]:
            for scope in resource["scopeLogs"]:
                for record in scope["logRecords"]:
                    yield record["body"]["stringValue"]


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.path = os.path.join(self.folder, "s")
        self.spool = os.path.join(self.folder, "spool")
        self.log = logging.Logger("test")

    def handler(self, **given):
        handler = runlog.Handler(**{"socket": self.path, "spool": self.spool, **given})
        self.addCleanup(handler.close)
        self.log.addHandler(handler)
        return handler

    def agent(self, *statuses):
        agent = FakeAgent(self.path, statuses)
        self.addCleanup(agent.close)
        return agent

    def flushed(self, handler):
        """Wait for longer than a program would."""
        self.assertTrue(handler._outbox.flush(120))

    def spooled(self):
        names = sorted(os.listdir(self.spool)) if os.path.exists(self.spool) else []
        for name in names:
            with open(os.path.join(self.spool, name), "rb") as file:
                yield from bodies(file)

    def eventually(self, is_so):
        until = time.monotonic() + 120
        while not is_so():
            self.assertLess(time.monotonic(), until)
            time.sleep(0.01)


class Delivery(Case):
    def test_an_agent_that_is_full_is_asked_again(self):
        agent = self.agent(503, 429)
        handler = self.handler()
        self.log.warning("m")
        handler.flush()
        self.flushed(handler)
        self.assertEqual((agent.bodies(), list(self.spooled())), (["m"], []))

    def test_a_request_that_is_too_large_is_halved(self):
        agent = self.agent(413)
        handler = self.handler()
        # All five are one request, however slowly they come.
        with mock.patch.object(_outbox, "LINGER_SECONDS", 120):
            for number in range(5):
                self.log.warning("%d", number)
            self.flushed(handler)
        self.assertEqual(agent.bodies(), list("01234"))
        self.assertEqual(len(agent.requests), 2)

    def test_what_is_refused_is_told(self):
        agent = self.agent(400)
        handler = self.handler()
        self.log.warning("bad")
        self.flushed(handler)
        self.log.warning("good")
        self.flushed(handler)
        self.assertEqual(agent.bodies(), ["1 record was lost: there was neither an agent nor room for it", "good"])

    def test_somebody_else_is_no_agent(self):
        self.agent(404, 404)
        handler = self.handler()
        self.log.warning("m")
        self.flushed(handler)
        self.assertEqual(list(self.spooled()), ["m"])

    def test_what_finds_no_room_is_counted_and_told_when_there_is_an_agent(self):
        # A file is where the folder should be, so nothing can be spooled.
        open(self.spool, "w").close()
        with mock.patch.object(_outbox, "BUFFER_BYTES", 20_000):
            handler = self.handler()
            for number in range(1000):
                self.log.warning("%d", number)
        lost = handler._outbox._lost
        self.assertGreater(lost, 900)
        agent = self.agent()
        self.eventually(agent.bodies)
        self.flushed(handler)
        told = [int(body.split()[0]) for body in agent.bodies() if "lost" in body]
        self.assertEqual((sum(told), len(agent.bodies()) - len(told)), (lost, 1000 - lost))

    def test_records_of_delivering_do_not_go_round_in_a_circle(self):
        agent = self.agent()
        handler = self.handler()
        send = handler._outbox._agent.send
        handler._outbox._agent.send = lambda body: (self.log.warning("sent"), send(body))[1]
        self.log.warning("m")
        self.flushed(handler)
        self.flushed(handler)
        self.assertEqual(agent.bodies(), ["m"])

    def test_a_closed_handler_still_delivers(self):
        agent = self.agent()
        handler = self.handler()
        self.log.warning("one")
        handler.close()
        with mock.patch.object(_outbox, "IDLE_SECONDS", 120):
            self.log.warning("two")
        self.assertEqual(agent.bodies()[-1:], ["two"])
        # On a slow machine the end has not waited for the agent.
        self.assertEqual({*agent.bodies(), *self.spooled()}, {"one", "two"})


class Spool(Case):
    def test_a_file_that_was_removed_is_begun_anew(self):
        handler = self.handler()
        self.log.warning("one")
        self.flushed(handler)
        for name in os.listdir(self.spool):
            os.unlink(os.path.join(self.spool, name))
        self.log.warning("two")
        self.flushed(handler)
        self.assertEqual(list(self.spooled()), ["two"])

    def test_a_disk_without_room_leaves_no_half_line(self):
        # However slow this is, both are for one file.
        patient = mock.patch.object(_outbox, "IDLE_SECONDS", 120)
        patient.start()
        self.addCleanup(patient.stop)
        handler = self.handler()
        self.log.warning("one")
        self.flushed(handler)
        write = os.write
        with mock.patch("os.write", side_effect=[5, OSError(28, "No space left on device")]) as failing:
            failing.side_effect = lambda file, text: (
                write(file, text[:5]) if len(text) > 100 and failing.call_count == 1 else self.full()
            )
            self.log.warning("two")
            self.eventually(lambda: failing.call_count >= 2)
        self.flushed(handler)
        handler.close()
        self.assertEqual(list(self.spooled()), ["one", "two"])

    def full(self):
        raise OSError(28, "No space left on device")


class Quiet(Case):
    def test_one_line_is_enough_and_twice_is_once(self):
        root = logging.getLogger()
        before, level = list(root.handlers), root.level
        try:
            with mock.patch.dict(os.environ, {"RUNLOG_SOCKET": self.path, "RUNLOG_OTLP_SPOOL": self.spool}):
                runlog.basicConfig(level="DEBUG")
                runlog.basicConfig()
            added = [handler for handler in root.handlers if handler not in before]
            self.assertEqual((len(added), root.level), (1, logging.DEBUG))
            added[0].close()
        finally:
            root.handlers[:] = before
            root.setLevel(level)

    def test_an_outbox_without_threads_delivers_at_once(self):
        agent = self.agent()
        none = mock.patch("threading.Thread.start", side_effect=RuntimeError("can't create new thread at shutdown"))
        with none, mock.patch.object(_outbox, "IDLE_SECONDS", 120):
            self.handler()
            self.log.warning("m")
        self.assertEqual(agent.bodies(), ["m"])
