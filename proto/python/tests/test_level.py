"""Levels that are asked for while the program runs."""

import contextlib
import io
import json
import logging
import os
import queue
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest
from unittest import mock

import runlog
from runlog import _fork, _level, logs
from runlog._level import Levels, Lowered


class Operator:
    """Answers at a socket which levels are asked for, and takes records."""

    def __init__(self, path):
        self.version, self.asked, self.questions = 1, [], queue.Queue()
        self.changed = threading.Condition()
        self.connections = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(8)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections.append(connection)
                threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as file:
            while True:
                first, length = file.readline().decode(), 0
                if not first:
                    return
                for line in iter(file.readline, b"\r\n"):
                    if not line:
                        return
                    if line.lower().startswith(b"content-length"):
                        length = int(line.split(b":")[1])
                file.read(length)
                body = b"{}"
                if first.startswith("GET /api/v1/level?version="):
                    known = int(first.split("version=")[1].split("&")[0])
                    self.questions.put(known)
                    with self.changed:
                        self.changed.wait_for(lambda known=known: self.version != known, 30)
                        body = json.dumps({"version": self.version, "asked": self.asked, "run": "own"}).encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    def ask(self, *asked):
        with self.changed:
            self.asked = [dict(zip(("level", "source", "run", "logger"), one)) for one in asked]
            self.version += 1
            self.changed.notify_all()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def eventually(what, is_so):
    until = time.monotonic() + 120
    while not is_so():
        if time.monotonic() > until:
            raise AssertionError(what)
        time.sleep(0.01)


class WantedTest(unittest.TestCase):
    def test_only_levels_for_this_process_are_wanted_and_those_that_name_more_count(self):
        asked = [
            {"level": "debug", "run": "mine"},
            {"level": "info"},
            {"level": "trace", "run": "another"},
            {"level": "trace", "source": "docker"},
            {"level": "warn", "source": "otlp", "logger": "a"},
            {"level": "debug", "logger": "a"},
            {"level": "info", "logger": "b"},
            {"level": "debug", "logger": "b"},
            {"level": "loud", "logger": "c"},
        ]
        self.assertEqual(Levels(1, "", asked).wanted("mine"), {"": 10, "a": 30, "b": 10})
        # The agent's run is that of a process which does not say its own.
        self.assertEqual(Levels(1, "another", asked).wanted("")[""], 5)


class LoweredTest(unittest.TestCase):
    def setUp(self):
        self.out = io.StringIO()
        self.others = logging.StreamHandler(self.out)
        self.ours = runlog.Handler(spool="", socket="/nowhere", follow=False)
        self.logger = logging.getLogger("lowered")
        self.logger.addHandler(self.ours)
        self.logger.addHandler(self.others)
        self.logger.setLevel(logging.WARNING)
        self.seen = []
        patch = mock.patch.object(self.ours, "emit", lambda record: self.seen.append(record.getMessage()))
        patch.start()
        self.addCleanup(patch.stop)
        self.addCleanup(self.logger.removeHandler, self.ours)
        self.addCleanup(self.logger.removeHandler, self.others)
        self.lowered = Lowered(self.ours)

    def test_other_handlers_have_no_record_more_than_before(self):
        below = logging.getLogger("lowered.below")
        self.lowered.set({"": 10})
        self.logger.debug("1")
        below.info("2")
        below.warning("3")
        self.assertEqual((self.seen, self.out.getvalue()), (["1", "2", "3"], "3\n"))
        self.lowered.set({})
        self.logger.debug("4")
        self.logger.warning("5")
        self.assertEqual((self.seen, self.out.getvalue()), (["1", "2", "3", "5"], "3\n5\n"))
        self.assertEqual((self.logger.level, self.others.filters), (logging.WARNING, []))

    def test_a_level_is_never_raised_and_what_the_program_has_set_meanwhile_stays(self):
        self.lowered.set({"": 40})
        self.assertEqual(self.logger.level, logging.WARNING)
        self.lowered.set({"": 10})
        self.logger.setLevel(logging.ERROR)
        self.lowered.reset()
        self.assertEqual(self.logger.level, logging.ERROR)

    def test_one_logger_alone_is_lowered(self):
        below = logging.getLogger("lowered.one")
        self.lowered.set({"lowered.one": 10})
        below.debug("1")
        self.logger.debug("2")
        self.assertEqual(self.seen, ["1"])
        self.lowered.reset()
        self.assertEqual(below.level, logging.NOTSET)


class FollowingTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "otlp.sock")
        self.operator = Operator(self.path)
        self.addCleanup(self.operator.close)
        self.handler = runlog.Handler(socket=self.path, spool=os.path.join(folder.name, "spool"))
        self.addCleanup(self.handler.close)
        self.logger = logging.getLogger("followed")
        self.logger.addHandler(self.handler)
        self.addCleanup(self.logger.removeHandler, self.handler)
        self.logger.setLevel(logging.INFO)

    def is_at(self, level):
        eventually(f"the level is {level}", lambda: self.logger.level == level)

    def test_the_level_follows_what_is_asked_for_and_is_set_back_when_that_ends_or_the_agent_does(self):
        self.operator.ask(("debug", "", "", ""))
        self.is_at(logging.DEBUG)
        self.operator.ask()
        self.is_at(logging.INFO)
        self.operator.ask(("trace", "", "", "followed"))
        self.is_at(5)
        self.operator.close()
        self.is_at(logging.INFO)

    def test_the_end_of_the_handler_sets_the_level_back(self):
        self.operator.ask(("debug", "", "", ""))
        self.is_at(logging.DEBUG)
        with mock.patch.object(logs, "FORK_SECONDS", 120):
            self.handler.close()
        self.assertEqual(self.logger.level, logging.INFO)
        self.assertNotIn("runlog-level", [thread.name for thread in threading.enumerate()])

    @unittest.skipUnless(hasattr(os, "fork"), "needs a fork")
    def test_a_child_follows_for_itself(self):
        self.operator.ask(("debug", "", "", ""))
        self.is_at(logging.DEBUG)
        child = os.fork()
        if child == 0:
            status = 1
            with contextlib.suppress(BaseException):
                self.handler.close()
                status = 0 if self.logger.level == logging.INFO else 2
            os._exit(status)
        _, status = os.waitpid(child, 0)
        self.assertEqual(status, 0)
        self.operator.ask()
        # Begins to follow again.
        self.logger.info("goes on")
        self.is_at(logging.INFO)

    @unittest.skipUnless(hasattr(os, "fork"), "needs a fork")
    def test_a_fork_warns_of_no_thread(self):
        # A program of its own, since the operator's threads are here. It prints what Python warns of: `-W error` would
        # show nothing, since of a fork that is forgotten.
        program = textwrap.dedent("""
            import logging, os, sys
            from runlog import Handler, logs

            logs.FORK_SECONDS = 120
            logger = logging.getLogger("forks")
            logger.addHandler(Handler(socket=sys.argv[1], spool=""))
            for number in range(100):
                logger.warning("%d", number)
                child = os.fork()
                if child == 0:
                    os._exit(0)
                os.waitpid(child, 0)
        """)
        ended = subprocess.run(
            [sys.executable, "-B", "-W", "always", "-c", program, self.path],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            timeout=300,
            check=False,
        )
        self.assertEqual((ended.returncode, ended.stderr), (0, b""))

    def test_a_thread_is_waited_for_until_the_kernel_has_let_go_of_it(self):
        thread = threading.Thread(target=str)
        thread.start()
        kernels = [True, True, False]
        with mock.patch("os.path.exists", lambda path: str(thread.native_id) in path and kernels.pop(0)):
            _fork.join(thread, 120)
        self.assertEqual(kernels, [])


class SilenceTest(unittest.TestCase):
    def test_a_program_without_an_agent_ends_at_once_and_says_nothing(self):
        program = "import logging, runlog; logging.getLogger().addHandler(runlog.Handler(socket='/nowhere', spool=''))"
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            timeout=300,
            check=True,
        )
        self.assertEqual((ended.stdout, ended.stderr), (b"", b""))

    def test_what_answers_strangely_is_no_agent(self):
        told = queue.Queue()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "s")
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            listener.listen(1)
            follower = _level.Follower(lambda: [path], str, told.put)
            follower.start()
            connection, _ = listener.accept()
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]")
            self.assertEqual(told.get(timeout=30), {})
            follower.end(30)
            self.assertIsNone(follower.thread_id)
            connection.close()
            listener.close()
