"""The life of a run, and what is asked of it."""

import contextlib
import io
import json
import math
import os
import unittest
from unittest import mock

from stand_in import Case

import runlog


class Life(Case):
    def ends(self, agent):
        return [one for one in agent.records if one.name == "ml.run.end"]

    def test_a_run_says_what_it_is_and_that_it_started(self):
        agent = self.stand_in()
        workspace = runlog.Workspace(name="team", spool=self.path("spool"), address=agent.address)
        self.addCleanup(self.forget, workspace)
        run = runlog.Experiment(workspace, "ridge").start_logging(display_name="first")
        run.flush()
        (start,) = agent.records
        self.assertEqual(start.name, "ml.run.start")
        self.assertEqual(
            start.resource,
            {
                "telemetry.sdk.name": "runlog",
                "telemetry.sdk.language": "python",
                "service.name": "ridge",
                "service.namespace": "team",
                "ml.run.id": run.id,
                "ml.run.name": "first",
                "ml.experiment.name": "ridge",
            },
        )

    def test_a_run_completes_after_all_that_it_logged_and_once(self):
        agent = self.stand_in()
        run = self.run_at(agent, outputs=self.path("outputs"))
        self.write("outputs/model.bin", os.urandom(100))
        run.upload_file("f", self.write("f", b"f"))
        run.log("a", 1)
        run.complete()
        run.fail("too late")
        self.assertEqual(agent.order[-1], "ml.run.end")
        self.assertEqual(self.ends(agent)[0].said["ml.run.result"], "success")
        names = {one.said["ml.artifact.name"] for one in agent.records if one.name == "ml.artifact"}
        self.assertEqual((names, len(self.ends(agent))), ({"f", "outputs", "outputs/model.bin"}, 1))
        self.assertIn("has ended already, as Completed", self.said[0])

    def test_a_failure_says_what_went_wrong(self):
        agent = self.stand_in()
        run = self.run_at(agent)
        try:
            raise KeyError("layer")
        except KeyError as error:
            run.fail(error, "BadModel")
        other = self.run_at(agent)
        other.fail("no room")
        first, second = self.ends(agent)
        said = first.said
        self.assertEqual((said["ml.run.result"], said["error.type"], first.severity), ("failure", "BadModel", 21))
        self.assertEqual(said["exception.message"], "KeyError: 'layer'")
        self.assertIn('raise KeyError("layer")', said["exception.stacktrace"])
        self.assertEqual((second.said["error.type"], second.said["exception.message"]), ("UserError", "no room"))

    def test_a_block_ends_its_run_as_it_ends_itself(self):
        agent = self.stand_in()
        with self.run_at(agent):
            pass
        with self.assertRaises(ValueError), self.run_at(agent):
            raise ValueError("bad")
        with self.assertRaises(KeyboardInterrupt), self.run_at(agent):
            raise KeyboardInterrupt
        results = [one.said["ml.run.result"] for one in self.ends(agent)]
        self.assertEqual(results, ["success", "failure", "cancellation"])

    def test_a_cancel_is_said_before_what_waits(self):
        agent = self.stand_in()
        run = self.run_at(agent)
        order = []
        tell = run._tell
        seen = mock.patch.object(run, "_tell", lambda name, *of: (order.append(name), tell(name, *of)))
        with seen, mock.patch.object(run, "flush", lambda: order.append("flush")):
            run.cancel()
        self.assertEqual(order, ["ml.run.end", "flush"])
        run.flush()
        self.assertEqual(self.ends(agent)[0].said["ml.run.result"], "cancellation")

    def test_children_are_runs_of_their_own(self):
        agent = self.stand_in()
        run = self.run_at(agent, display_name="sweep")
        child = run.child_run("alpha")
        two = run.create_children(count=2)
        tagged = run.create_children(tag_key="alpha", tag_values=[0.1, 0.2])
        child.log("mse", 1)
        run.flush()
        self.assertEqual((child.name, child.parent.id), ("sweep>alpha", run.id))
        (metric,) = [one for one in agent.records if one.name == "ml.metric"]
        self.assertEqual((metric.resource["ml.run.id"], metric.resource["ml.run.parent.id"]), (child.id, run.id))
        tags = {
            one.resource["ml.run.id"]: (one.said["ml.run.tag.key"], one.said["ml.run.tag.value"])
            for one in agent.records
            if one.name == "ml.run.tag"
        }
        expected = [("runlog.child", "0"), ("runlog.child", "1"), ("alpha", "0.1"), ("alpha", "0.2")]
        self.assertEqual([tags[one.id] for one in [*two, *tagged]], expected)
        for given in ({}, {"count": 1, "tag_key": "a", "tag_values": []}, {"tag_key": "a"}, {"count": 101}):
            with self.assertRaises(runlog.UserErrorException):
                run.create_children(**given)

    def test_names_that_cannot_be_are_refused(self):
        workspace = self.workspace()
        for name in ("", "a\nb", "n" * 256, None):
            with self.assertRaises(runlog.UserErrorException):
                runlog.Experiment(workspace, name)
        for run_id in ("", "a\0b", "n" * 257):
            with self.assertRaises(runlog.UserErrorException):
                runlog.Run(runlog.Experiment(workspace, "e"), run_id)


class Context(Case):
    def test_outside_a_run_it_prints_and_nothing_fails(self):
        run = runlog.Run.get_context()
        self.assertTrue(run.id.startswith("OfflineRun_"))

        class Broken:
            def __repr__(self):
                raise RuntimeError("no")

        said = io.StringIO()
        with contextlib.redirect_stdout(said), run:
            run.log("loss", 0.5, step=1)
            run.log("b", Broken())
            run.log_list("l", [1])
            run.log_row("r", a=1)
            run.log_table("t", {"a": [1]})
            run.log_image("i", plot=Broken())
            run.log_confusion_matrix("c", {})
            run.upload_file("../f", "missing")
            run.tag("t")
            run.child_run().log("c", 1)
            run.fail("x")
            run.complete()
            run.flush()
        self.assertIn("runlog: no run, not logged: scalar loss: 0.5\n", said.getvalue())
        with self.assertRaises(runlog.ExperimentExecutionException):
            runlog.Run.get_context(allow_offline=False)

    def test_in_a_run_it_is_that_run_which_who_started_it_ends(self):
        agent = self.stand_in()
        self.variable("RUNLOG_SOCKET", agent.address.replace("http://", ""))
        self.variable("RUNLOG_RUN_ID", "job-7")
        self.variable("RUNLOG_EXPERIMENT", "ridge")
        run = runlog.Run.get_context()
        with run:
            run.log("mse", 1)
        run.fail(ValueError("bad"))
        run.cancel()
        self.addCleanup(self.forget, run.experiment.workspace)
        self.assertEqual([one.name for one in agent.records], ["ml.metric", "ml.alert"])
        said = agent.records[0].resource
        self.assertEqual((said["ml.run.id"], said["ml.experiment.name"]), ("job-7", "ridge"))
        self.assertEqual(agent.records[1].said["exception.message"], "ValueError: bad")


class Questions(Case):
    def setUp(self):
        super().setUp()
        self.agent = self.stand_in()
        self.workspace_ = self.workspace(self.agent)
        self.experiment = runlog.Experiment(self.workspace_, "e")
        self.run_ = runlog.Run(self.experiment, "r/1")

    def answer(self, path, said):
        self.agent.answers[path] = said

    def test_once_is_a_bare_value_and_more_often_a_list(self):
        nan = {"number": "NaN"}
        metrics = {
            "alpha": {"kind": "scalar", "values": [0.4]},
            "mse": {"kind": "scalar", "values": [1, 2.5, nan, "x", None]},
            "fibonacci": {"kind": "list", "values": [0, 1]},
            "row": {"kind": "row", "columns": {"a": [1], "b": ["x"]}},
            "table": {"kind": "table", "columns": {"a": [1, None], "b": [{"number": "-Infinity"}, True]}},
        }
        self.answer("/api/v1/runs/r%2F1/metrics", {"metrics": metrics})
        found = self.run_.get_metrics()
        self.assertTrue(math.isnan(found["mse"].pop(2)))
        self.assertEqual(
            found,
            {
                "alpha": 0.4,
                "mse": [1, 2.5, "x", None],
                "fibonacci": [0, 1],
                "row": {"a": 1, "b": "x"},
                "table": {"a": [1, None], "b": [-math.inf, True]},
            },
        )
        self.answer("/api/v1/runs/r%2F1/metrics?name=a+b&recursive=1", {"metrics": {}})
        self.assertEqual(self.run_.get_metrics("a b", recursive=True), {})

    def test_what_a_picture_or_a_matrix_is_can_be_asked_for(self):
        metrics = {"cm": {"values": ["runlog://r/1/cm"]}, "i": {"values": ["runlog://r/1/i.png"]}}
        self.answer("/api/v1/runs/r%2F1/metrics", {"metrics": metrics})
        self.answer("/api/v1/runs/r%2F1/files/cm", b'{"data": 1}')
        self.assertEqual(self.run_.get_metrics(populate=True), {"cm": {"data": 1}, "i": "runlog://r/1/i.png"})

    def test_details_are_as_azureml_names_them(self):
        run = {
            "run_id": "r/1",
            "experiment": "e",
            "status": "failed",
            "start_time_unix_nano": 1_500_000_000_000_000_000,
            "end_time_unix_nano": "1500000001500000000",
            "records": 3,
            "events": 1,
            "exit_code": 3,
            "error_code": "UserError",
            "error_message": "bad",
            "tags": {"a": "1", "b": None},
            "properties": {"p": {"number": "Infinity"}},
        }
        self.answer("/api/v1/runs/r%2F1", run)
        self.answer(
            "/api/v1/runs/r%2F1/logs?events=0&limit=10000", {"lines": [{"body": "one"}], "next": "5", "more": True}
        )
        self.answer("/api/v1/runs/r%2F1/logs?events=0&limit=10000&after=5", {"lines": [{"body": "two"}], "next": "6"})
        details = self.run_.get_details_with_logs()
        self.assertEqual((details["runId"], details["status"], details["exitCode"]), ("r/1", "Failed", 3))
        self.assertEqual(details["startTimeUtc"], "2017-07-14T02:40:00.000000Z")
        self.assertEqual(details["endTimeUtc"], "2017-07-14T02:40:01.500000Z")
        self.assertEqual(details["error"], {"error": {"code": "UserError", "message": "bad"}})
        self.assertEqual((details["tags"], details["properties"]), ({"a": "1", "b": None}, {"p": math.inf}))
        self.assertEqual(details["logFiles"], {"user_logs/std_log.txt": "one\ntwo\n"})
        self.assertEqual((self.run_.status, self.run_.tags), ("Failed", {"a": "1", "b": None}))
        with self.assertRaises(runlog.ActivityFailedException) as raised:
            self.run_.wait_for_completion()
        self.assertIn("bad", str(raised.exception))
        self.assertEqual(self.run_.wait_for_completion(raise_on_error=False)["status"], "Failed")

    def test_output_is_shown_as_it_comes_until_the_end(self):
        stream = [{"lines": [{"body": "one"}, {"body": "two"}], "more": True}, {"lines": [{"body": "three"}]}]
        said = "".join([f"id: 1\ndata: {json.dumps(one)}\n\n" for one in stream])
        self.answer("/api/v1/runs/r%2F1/logs?follow=1&events=0&limit=10000", f": hello\n\n{said}".encode())
        self.answer("/api/v1/runs/r%2F1", {"run_id": "r/1", "status": "completed"})
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            self.run_.wait_for_completion(show_output=True)
        self.assertIn("one\ntwo\nthree\n", shown.getvalue())
        self.assertIn("Status: Completed", shown.getvalue())

    def test_who_stops_watching_is_told_how_to_cancel(self):
        self.answer("/api/v1/runs/r%2F1", {"run_id": "r/1", "status": "running"})
        with mock.patch("time.sleep", side_effect=KeyboardInterrupt):
            with self.assertRaises(runlog.ExperimentExecutionException) as raised:
                self.run_.wait_for_completion()
            self.assertIn("run.cancel(), or: runlog run cancel r/1", str(raised.exception))
            self.assertEqual(self.agent.records, [])
            with mock.patch("sys.stdin") as stdin, mock.patch("builtins.input", return_value="y"):
                stdin.isatty.return_value = True
                self.run_.wait_for_completion()
        self.run_.flush()
        self.assertEqual([one.name for one in self.agent.records], ["ml.run.end"])

    def test_files_are_listed_and_written(self):
        files = [{"name": name, "kind": kind} for name, kind in (("o", "folder"), ("o/a", "file"), ("o/b/c", "json"))]
        self.answer("/api/v1/runs/r%2F1/files", {"files": files})
        self.answer("/api/v1/runs/r%2F1/files/o/a", b"a")
        self.answer("/api/v1/runs/r%2F1/files/o/b/c", b"c")
        self.assertEqual(self.run_.get_file_names(), ["o/a", "o/b/c"])
        self.run_.download_file("o/a", self.path("x", "y"))
        self.run_.download_files("o/", self.path("all"))
        self.run_.download_files("o/b", self.path("some"), append_prefix=False)
        for path, expected in ((("x", "y"), "a"), (("all", "o", "b", "c"), "c"), (("some", "c"), "c")):
            with open(self.path(*path)) as file:
                self.assertEqual(file.read(), expected)
        with self.assertRaises(runlog.UserErrorException):
            self.run_.download_file("missing", self.path("missing"))
        self.assertEqual(sorted(os.listdir(self.folder)), ["all", "some", "x"])

    def test_runs_of_an_experiment_are_chosen_by_their_tags(self):
        runs = [
            {"run_id": "a", "experiment": "e", "tags": {"kind": "ridge"}},
            {"run_id": "b", "experiment": "e", "tags": {"kind": "lasso"}},
            {"run_id": "c", "experiment": "e", "parent_run_id": "a", "tags": {"kind": "ridge"}},
        ]
        self.answer("/api/v1/runs?experiment=e", {"runs": runs})
        ids = [run.id for run in self.experiment.get_runs(tags={"kind": "ridge"})]
        self.assertEqual(ids, ["a"])
        ids = [run.id for run in self.experiment.get_runs(tags="kind", include_children=True)]
        self.assertEqual(ids, ["a", "b", "c"])

    def test_an_error_says_what_is_wrong_and_where(self):
        with self.assertRaises(runlog.ServiceException) as raised:
            self.run_.get_metrics()
        error = raised.exception
        self.assertEqual((error.status_code, error.reason, error.field), (404, "UNKNOWN_RUN", "run_id"))
        self.assertIn("there is no /api/v1/runs/r%2F1/metrics", str(error))
        self.agent.close()
        with self.assertRaises(runlog.ServiceException) as raised:
            self.run_.get_metrics()
        self.assertIn("no agent answers, start one with: runlog agent", str(raised.exception))


class Configured(Case):
    def test_a_workspace_is_found_further_up_and_is_the_agent_without_one(self):
        path = self.write("a/.azureml/config.json", b'{"workspace_name": "ws", "address": "http://store:4319"}')
        self.write("a/b/config.json", b'{"learning_rate": 1}')
        found = runlog.Workspace.from_config(self.path("a"))
        self.assertEqual((found.name, found.location), ("ws", "http://store:4319"))
        before = os.getcwd()
        try:
            os.chdir(self.path("a", "b"))
            self.assertEqual(runlog.Workspace.from_config().name, "ws")
            os.remove(path)
            self.assertEqual(runlog.Workspace.from_config().name, "default")
        finally:
            os.chdir(before)
        with self.assertRaises(runlog.UserErrorException):
            runlog.Workspace.from_config(self.path("missing"))

    def test_a_token_goes_with_what_is_said_and_what_is_asked(self):
        agent = self.stand_in()
        workspace = runlog.Workspace(address=agent.address, token="secret", spool=self.path("spool"))
        self.addCleanup(self.forget, workspace)
        run = runlog.Experiment(workspace, "e").start_logging()
        agent.answers[f"/api/v1/runs/{run.id}"] = {"status": "running"}
        self.assertEqual(run.get_status(), "Running")
        self.assertEqual(agent.authorizations, {"POST": "Bearer secret", "GET": "Bearer secret"})
        with self.assertRaises(runlog.UserErrorException):
            runlog.Workspace(address="https://store")


if __name__ == "__main__":
    unittest.main()
