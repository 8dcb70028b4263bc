"""How what a run says gets away: with an agent and without one, through forks, and with files that change."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from unittest import mock

from stand_in import Case

from runlog import _event, _files, _outbox, _surroundings


class Away(Case):
    def test_without_an_agent_events_and_files_are_kept_and_one_warning_says_where(self):
        run = self.run_at()
        with mock.patch("runlog._outbox.AGAIN_SECONDS", 0):
            for number in range(100):
                run.log("loss", number)
                if number % 25 == 0:
                    run.flush()
        content = os.urandom(3_000_000)
        run.upload_file("outputs/model.bin", self.write("model.bin", content))
        run.complete()
        found = self.spooled()
        self.assertEqual([one.said["ml.metric.value"] for one in found if one.name == "ml.metric"], list(range(100)))
        (artifact,) = [one.said for one in found if one.name == "ml.artifact"]
        digest = hashlib.sha256(content).hexdigest()
        self.assertEqual((artifact["ml.artifact.sha256"], artifact["ml.artifact.size"]), (digest, len(content)))
        with open(self.path("spool", "files", digest), "rb") as file:
            self.assertEqual(file.read(), content)
        self.assertEqual(os.listdir(self.path("spool", "files")), [digest])
        self.assertEqual(len(self.said), 1, self.said)
        self.assertIn(f"it is kept in {self.path('spool')} until", self.said[0])

    def test_a_disk_without_room_costs_the_file_and_says_so(self):
        run = self.run_at()
        full = shutil._ntuple_diskusage(10, 10, 0)
        with mock.patch("shutil.disk_usage", return_value=full):
            run.upload_file("f", self.write("f"))
            run.flush()
        self.assertTrue(any("the file f is lost" in said and "no room" in said for said in self.said), self.said)
        self.assertEqual([one.name for one in self.spooled()], ["ml.run.start", "ml.artifact"])

    def test_no_place_at_all_is_told_once_and_stops_nothing(self):
        # A file is where the folder should be.
        self.write("spool")
        run = self.run_at()
        began = time.monotonic()
        for number in range(1000):
            run.log("loss", number)
        # Each would wait for a second if it waited at all.
        self.assertLess(time.monotonic() - began, 60)
        run.flush(0.5)
        self.eventually(lambda: any("cannot be kept" in said for said in self.said))
        self.assertEqual(len([said for said in self.said if "cannot be kept" in said]), 1, self.said)
        os.remove(self.path("spool"))
        run.flush()
        self.assertEqual(len([one for one in self.spooled() if one.name == "ml.metric"]), 1000)

    def test_a_call_costs_far_less_than_a_millisecond(self):
        run = self.run_at()
        times = []
        for number in range(2000):
            began = time.perf_counter()
            run.log("loss", number, step=number)
            times.append(time.perf_counter() - began)
        # Most of them: another thread may have had the interpreter, or another process the machine.
        self.assertLess(sorted(times)[len(times) // 2], 0.001)


class Sent(Case):
    def test_a_file_is_there_before_it_is_told_of(self):
        agent = self.stand_in()
        run = self.run_at(agent)
        run.upload_file("f", self.write("f", b"content"))
        run.flush()
        digest = hashlib.sha256(b"content").hexdigest()
        self.assertEqual([one for one in agent.order if one != "ml.run.start"], [f"file {digest}", "ml.artifact"])

    def test_a_file_that_is_held_is_not_sent_again(self):
        agent = self.stand_in()
        run = self.run_at(agent)
        for name in ("one", "two"):
            run.upload_file(name, self.write(name, b"the same"))
        run.upload_file("nothing", self.write("nothing", b""))
        run.flush()
        self.assertEqual(len([one for one in agent.order if one.startswith("file")]), 2, agent.order)
        self.assertEqual(agent.order.count("ml.artifact"), 3)

    def test_what_becomes_of_a_file_after_it_was_given_does_not_matter(self):
        agent = self.stand_in()
        run = self.run_at(agent)
        large = os.urandom(_files.SMALL_BYTES + 1)
        small_path, large_path = self.write("small", b"before"), self.write("large", large)
        may_go_on = threading.Event()
        digest = _files._digest
        with mock.patch.object(_files, "_digest", lambda file: (may_go_on.wait(30), digest(file))[1]):
            run.upload_file("small", small_path)
            run.upload_file("large", large_path)
            with open(small_path, "wb") as file:
                file.write(b"after")
            os.remove(large_path)
            may_go_on.set()
            run.flush()
        self.assertEqual(set(agent.files.values()), {b"before", large})

    def test_more_files_than_may_be_open_are_all_sent(self):
        agent = self.stand_in()
        run = self.run_at(agent)
        with mock.patch.object(_files, "SMALL_BYTES", 0), mock.patch.object(_files, "MOST_OPEN", 2):
            for number in range(10):
                self.write(f"folder/{number}", b"%d" % number)
            run.upload_folder("folder", self.path("folder"))
            run.flush()
        self.assertEqual(set(agent.files.values()), {b"%d" % number for number in range(10)})


class Processes(Case):
    def test_processes_of_every_kind_deliver_what_they_logged(self):
        # The program itself, a fork, and a process of multiprocessing: each has uids of its own.
        program = self.write(
            "program.py",
            textwrap.dedent("""
                import multiprocessing, os, sys
                import runlog

                def work(name):
                    run = runlog.Run.get_context()
                    for number in range(100):
                        run.log(name, number)
                    run.upload_file(name, __file__)

                if __name__ == "__main__":
                    run = runlog.Run.get_context()
                    run.log("before", 1)
                    process = multiprocessing.get_context(sys.argv[1]).Process(target=work, args=("child",))
                    process.start()
                    child = os.fork()
                    if child == 0:
                        work("fork")
                        sys.exit(0)
                    work("parent")
                    os.waitpid(child, 0)
                    process.join()
            """).encode(),
        )
        self.variable("RUNLOG_RUN_ID", "r")
        self.variable("RUNLOG_OTLP_SPOOL", self.path("spool"))
        for method in ("fork", "spawn"):
            shutil.rmtree(self.path("spool"), ignore_errors=True)
            words = [sys.executable, "-B", program, method]
            ended = subprocess.run(words, stderr=subprocess.PIPE, check=False, timeout=300)
            self.assertEqual(ended.returncode, 0, ended.stderr)
            found = self.spooled()
            counts = {}
            for one in found:
                name = one.said.get("ml.metric.name") or one.said.get("ml.artifact.name")
                counts[name] = counts.get(name, 0) + 1
            self.assertEqual(counts, {"before": 1, "child": 101, "fork": 101, "parent": 101}, method)
            self.assertEqual(len({one.said["log.record.uid"] for one in found}), len(found))

    def test_a_signal_handler_may_log_in_the_midst_of_logging(self):
        program = self.write(
            "program.py",
            textwrap.dedent("""
                import signal
                import runlog

                run = runlog.Run.get_context()
                signal.signal(signal.SIGALRM, lambda *_: run.log("handler", 1))
                signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
                for number in range(20_000):
                    run.log("loss", number)
                signal.setitimer(signal.ITIMER_REAL, 0)
            """).encode(),
        )
        self.variable("RUNLOG_RUN_ID", "r")
        self.variable("RUNLOG_OTLP_SPOOL", self.path("spool"))
        ended = subprocess.run([sys.executable, "-B", program], stderr=subprocess.PIPE, check=False, timeout=300)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        names = [one.said["ml.metric.name"] for one in self.spooled()]
        self.assertEqual(names.count("loss"), 20_000)
        self.assertGreater(names.count("handler"), 0)

    def test_an_event_in_the_midst_of_a_look_at_the_environment_is_whole(self):
        events = _event.Events({})
        found = []

        def ranks(environment):
            with mock.patch.object(_surroundings, "ranks", return_value=[]):
                found.append(json.loads(events.event("ml.metric", "handler", [])))
            return []

        with mock.patch.object(_surroundings, "ranks", ranks):
            events.event("ml.metric", "loss", [])
        self.assertEqual([attribute["key"] for attribute in found[0]["attributes"]], ["event.name", "process.pid"])

    def test_a_record_that_is_put_while_the_thread_is_being_made_starts_no_second_one(self):
        ways = _outbox.Ways([], self.path("spool"), str, None, lambda _: None)
        outbox = _outbox.Outbox(ways)
        made = []
        thread = threading.Thread

        def make(**given):
            made.append(given)
            if len(made) == 1:
                outbox.put('"handler"', [b"{}"])
            return thread(**given)

        with mock.patch.object(threading, "Thread", make):
            outbox.put('"own"', [b"{}"])
        outbox.end()
        self.assertEqual(len(made), 1)


class Again(Case):
    def test_what_is_sent_again_has_the_same_uids_and_each_request_a_key_of_its_own(self):
        agent = self.stand_in()
        agent.statuses = [503]
        # What comes before a flush is one request, however slowly it comes.
        with mock.patch.object(_outbox, "LINGER_SECONDS", 120):
            run = self.run_at(agent)
            for number in range(3):
                run.log("loss", number)
            run.flush()
            run.log("loss", 3)
            run.flush()
        refused, taken, last = [[one.said["log.record.uid"] for one in request] for request in agent.requests[-3:]]
        self.assertEqual(refused, taken)
        keys, places = zip(*[uid.split("-") for uid in taken])
        self.assertEqual((len(set(keys)), [int(place) for place in places]), (1, list(range(len(taken)))))
        self.assertRegex(keys[0], "^[0-9a-f]{32}$")
        self.assertNotIn(keys[0], last[0])
