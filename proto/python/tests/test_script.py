"""Scripts that are submitted, without the program `runlog` and with one that stands in for it."""

import contextlib
import io
import os
import signal
import tempfile
import textwrap
from unittest import mock

from stand_in import Case

import runlog
from runlog import script

TRAIN = textwrap.dedent("""
    import os, sys
    import mylib
    from runlog import Run

    run = Run.get_context()
    os.makedirs("outputs", exist_ok=True)
    for alpha in mylib.alphas():
        run.log("alpha", alpha)
        with open(f"outputs/ridge_{alpha:.2f}.pkl", "w") as file:
            file.write(str(alpha))
        print(f"alpha is {alpha}", flush=True)
    print(sys.argv[1:], os.environ.get("OMP_NUM_THREADS"), file=sys.stderr)
    sys.exit(int(sys.argv[1]))
""")


class Submitted(Case):
    def setUp(self):
        super().setUp()
        self.agent = self.stand_in()
        # The script finds the stand-in as it would find an agent.
        self.variable("RUNLOG_SOCKET", self.agent.address.replace("http://", ""))
        place = mock.patch.object(tempfile, "gettempdir", lambda: self.folder)
        place.start()
        self.addCleanup(place.stop)
        self.write("source/train.py", TRAIN.encode())
        self.write("source/mylib.py", b"def alphas():\n    return [0.1, 0.4]\n")
        self.write("source/.amlignore", b"*.bin\n")
        self.write("source/large.bin")
        self.experiment = runlog.Experiment(self.workspace(), "train-on-local")
        self.shown = io.StringIO()

    def config(self, code=0, **given):
        given = {"arguments": [code, "--x"], "environment_variables": {"OMP_NUM_THREADS": 2}, **given}
        return runlog.ScriptRunConfig(self.path("source"), "train.py", **given)

    def submit(self, config, **given):
        with contextlib.redirect_stdout(self.shown):
            return self.experiment.submit(config, **given)

    def wait(self, run, **given):
        with contextlib.redirect_stdout(self.shown):
            return run.wait_for_completion(**given)

    def told(self, name, run):
        return [one for one in self.agent.records if one.name == name and one.resource["ml.run.id"] == run.id]

    def test_a_script_runs_in_a_copy_of_its_folder_and_leaves_its_outputs(self):
        run = self.submit(self.config(), tags={"kind": "ridge"}, show_output=True)
        self.assertIn("['0', '--x'] 2\n", self.shown.getvalue())
        self.assertRegex(self.shown.getvalue(), "(?s)alpha is 0.1\n.*alpha is 0.4\n")
        self.assertEqual(sorted(os.listdir(run.directory)), [".amlignore", "mylib.py", "outputs", "train.py"])
        self.assertEqual(sorted(os.listdir(self.path("source"))), [".amlignore", "large.bin", "mylib.py", "train.py"])
        self.assertEqual([one.said["ml.metric.value"] for one in self.told("ml.metric", run)], [0.1, 0.4])
        names = {one.said["ml.artifact.name"] for one in self.told("ml.artifact", run)}
        self.assertEqual(names, {"snapshot.zip", "outputs", "outputs/ridge_0.10.pkl", "outputs/ridge_0.40.pkl"})
        self.assertEqual(self.told("ml.run.tag", run)[0].said["ml.run.tag.value"], "ridge")
        # Here nobody else collects what it prints.
        lines = [(one.body, one.said["log.iostream"]) for one in self.told("", run)]
        self.assertEqual(lines.count(("alpha is 0.4", "stdout")), 1)
        self.assertEqual(lines.count(("['0', '--x'] 2", "stderr")), 1)
        (end,) = self.told("ml.run.end", run)
        self.assertEqual((end.said["ml.run.result"], end.said["process.exit.code"]), ("success", 0))
        self.assertEqual(self.agent.order[-1], "ml.run.end")
        self.assertEqual(run.get_status(), "Completed")

    def test_a_script_that_fails_is_an_error_of_who_waits(self):
        run = self.submit(self.config(3))
        with self.assertRaises(runlog.ActivityFailedException) as raised:
            self.wait(run, show_output=True)
        self.assertIn("the exit code is 3", str(raised.exception))
        details = self.wait(run, raise_on_error=False)
        self.assertEqual((details["status"], details["exitCode"]), ("Failed", 3))
        self.assertEqual(self.told("ml.run.end", run)[0].said["ml.run.result"], "failure")

    def test_a_script_is_run_by_runlog_where_there_is_one(self):
        # What it was called with, and then the command.
        binary = self.write("bin/runlog", b'#!/bin/sh\necho "called with $1 $2 $3" "${4##*/}"; shift 3; exec "$@"\n')
        os.chmod(binary, 0o755)
        for name, value in (("RUNLOG_BIN", binary), ("PATH", f"{self.path('bin')}:/usr/bin:/bin")):
            before = os.environ.get(name)
            self.variable(name, value)
            self.shown = io.StringIO()
            run = self.submit(self.config(), show_output=True)
            said = self.shown.getvalue()
            self.assertTrue("called with exec --quiet -- python" in said, said)
            self.assertIn("alpha is 0.4\n", said)
            # runlog collects the lines and knows how it ended.
            self.assertEqual((self.told("", run), self.told("ml.run.end", run)), ([], []))
            self.assertEqual(len(self.told("ml.artifact", run)), 4)
            self.variable(name, before)

    def test_what_runlog_has_of_a_script_is_not_said_to_be_nothing_while_no_agent_answers(self):
        # As `runlog exec` does, it gives the script a way of its own, which ends with it.
        binary = self.write("bin/runlog", b'#!/bin/sh\nshift 3; RUNLOG_SOCKET=$OWN exec "$@"\n')
        os.chmod(binary, 0o755)
        self.variable("OWN", self.agent.address.replace("http://", ""))
        self.variable("RUNLOG_SOCKET", None)
        self.variable("RUNLOG_OTLP_SPOOL", self.path("spool"))
        for by, metrics in ((None, {"alpha": [0.1, 0.4]}), (binary, None)):
            self.variable("RUNLOG_BIN", by)
            run = self.submit(self.config())
            self.assertEqual(self.wait(run)["status"], "Completed")
            if metrics is not None:
                self.assertEqual(run.get_metrics(), metrics)
                continue
            self.assertTrue(
                any("only its exit code is known: no agent answers" in said for said in self.said), self.said
            )
            for fetched in (run, runlog.Run(run.experiment, run.id)):
                with self.assertRaises(runlog.AzureMLException) as raised:
                    fetched.get_metrics()
                self.assertIn("no agent answers, start one with: runlog agent", str(raised.exception))
        self.assertEqual([one.said["ml.metric.value"] for one in self.told("ml.metric", run)], [0.1, 0.4])

    def test_who_cancels_ends_the_script(self):
        self.write("source/train.py", b"import signal, time\nprint('ready', flush=True)\ntime.sleep(600)\n")
        run = self.submit(self.config())
        with open(run._output, "rb") as output:
            self.eventually(lambda: b"ready" in output.read())
        with mock.patch.object(script, "_GRACE_SECONDS", 120):
            run.cancel()
        self.assertEqual(run._process.returncode, 128 + signal.SIGTERM)
        self.assertEqual(self.told("ml.run.end", run)[0].said["ml.run.result"], "cancellation")
        self.assertEqual(self.wait(run)["status"], "Canceled")

    def test_ctrl_c_reaches_who_waits_and_not_the_script(self):
        self.write("source/train.py", b"import time\nprint('ready', flush=True)\ntime.sleep(600)\n")
        run = self.submit(self.config())
        self.addCleanup(run.cancel)
        interrupted = mock.patch("time.sleep", side_effect=KeyboardInterrupt)
        refused = self.assertRaises(runlog.ExperimentExecutionException)
        with interrupted, mock.patch("sys.stdin", None), refused as raised:
            self.wait(run, show_output=True)
        self.assertIn("run.cancel()", str(raised.exception))
        self.assertEqual(os.getsid(run._process.pid), run._process.pid)
        self.assertIsNone(run._process.poll())

    def test_configurations_that_cannot_be_run_are_refused(self):
        for make, kind, sentence in [
            (lambda: runlog.ScriptRunConfig("."), runlog.UserErrorException, "either a script or a command"),
            (lambda: runlog.ScriptRunConfig(".", "a", command="b"), runlog.UserErrorException, "either a script"),
            (lambda: runlog.ScriptRunConfig(".", "a", compute_target="gpu"), runlog.UserErrorException, "gpu"),
            (
                lambda: self.submit(runlog.ScriptRunConfig(self.path("source"), "missing.py")),
                runlog.UserErrorException,
                "'missing.py' is not in",
            ),
            (
                lambda: self.submit(runlog.ScriptRunConfig(self.path("nowhere"), "train.py")),
                runlog.SnapshotException,
                "is no folder",
            ),
            (lambda: self.submit("train.py"), runlog.UserErrorException, "submit takes a ScriptRunConfig"),
        ]:
            with self.assertRaises(kind) as raised:
                make()
            self.assertIn(sentence, str(raised.exception))
        run = self.submit(runlog.ScriptRunConfig(self.path("source"), command="no-such-program -x"))
        self.assertEqual(self.wait(run, raise_on_error=False)["exitCode"], 127)

    def test_environments_that_are_not_made_here_are_told(self):
        config = runlog.RunConfiguration()
        config.environment.python.user_managed_dependencies = False
        self.submit(self.config(run_config=config), show_output=True)
        self.assertTrue(any("nothing is installed for it" in said for said in self.said), self.said)
