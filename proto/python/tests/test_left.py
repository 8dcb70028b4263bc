"""What a run is answered from the spool while no agent is there."""

import math
import os
from unittest import mock

from stand_in import Case

import runlog


class Left(Case):
    def test_a_run_is_read_back_before_there_is_an_agent(self):
        run = self.run_at(display_name="first")
        run.log("alpha", 0.4)
        for number in (1, float("nan"), "text"):
            run.log("mse", number)
        run.log_list("fibonacci", range(600))
        run.log_row("wave", angle=1, cos=0.5)
        run.log_row("wave", angle=2, sin=0.25)
        run.log_table("wave", {"angle": [3, 4], "cos": [float("inf"), None]})
        run.log_row("once", a=1)
        run.log("wave", 1)
        run.log_confusion_matrix("cm", {"data": 1})
        run.upload_file("outputs/f", self.write("f", b"content"))
        run.tag("favourite")
        run.tag("rank", 1)
        run.tag("rank", 2)
        run.add_properties({"owner": "me"})
        run.add_properties({"owner": "you"})
        with run.child_run("part") as child:
            child.log("alpha", 0.5)
        self.assertEqual(run.get_status(), "Running")
        run.complete()

        fetched = runlog.Run(run.experiment, run.id)
        metrics = fetched.get_metrics()
        self.assertTrue(math.isnan(metrics["mse"].pop(1)))
        self.assertEqual(
            metrics,
            {
                "alpha": 0.4,
                "mse": [1, "text"],
                "fibonacci": list(range(600)),
                "wave": {
                    "angle": [1, 2, 3, 4],
                    "cos": [0.5, None, math.inf, None],
                    "sin": [None, 0.25, None, None],
                },
                "once": {"a": 1},
                "cm": f"runlog://{run.id}/cm",
            },
        )
        self.assertEqual(fetched.get_metrics("cm", populate=True), {"cm": {"data": 1}})
        self.assertEqual(fetched.get_metrics("alpha", recursive=True), {"alpha": [0.4, 0.5]})
        self.assertEqual(fetched.get_file_names(), ["cm", "outputs/f"])
        fetched.download_file("outputs/f", self.path("read"))
        with open(self.path("read"), "rb") as file:
            self.assertEqual(file.read(), b"content")
        self.assertEqual((fetched.get_status(), child.get_status()), ("Completed", "Completed"))
        self.assertEqual(fetched.get_tags(), {"favourite": None, "rank": "2"})
        self.assertEqual(fetched.get_properties(), {"owner": "me"})
        self.assertEqual(child.parent.id, run.id)
        details = fetched.get_details()
        self.assertLess(details["startTimeUtc"], details["endTimeUtc"])

    def test_a_failure_is_known_too(self):
        run = self.run_at()
        run.fail("no room", "OutOfMemory")
        with self.assertRaises(runlog.ActivityFailedException) as raised:
            run.wait_for_completion()
        self.assertIn("no room", str(raised.exception))
        self.assertEqual(run.get_details()["error"]["error"]["code"], "OutOfMemory")

    def test_an_agent_that_does_not_know_the_run_yet_does_not_hide_it(self):
        # It answers questions, and takes no OTLP where this program looks for it.
        agent = self.stand_in()
        with mock.patch("runlog._surroundings.API_PORT", agent.server_port):
            run = self.run_at()
            run.log("alpha", 1)
            self.assertEqual((run.get_status(), run.get_metrics()), ("Running", {"alpha": 1}))
            self.assertEqual(len(agent.asked), 2)
            unknown = runlog.Run(run.experiment, "r")
            with self.assertRaises(runlog.AzureMLException) as raised:
                unknown.get_status()
            self.assertIn("status 404", str(raised.exception))
            agent.answers["/api/v1/runs/r"] = {"run": {"run_id": "r", "status": "completed"}}
            self.assertEqual(unknown.get_status(), "Completed")

    def test_what_is_not_whole_is_not_answered(self):
        run = runlog.Run(runlog.Experiment(self.workspace(), "e"), "r")
        # Its start is somewhere else.
        run.log("alpha", 1)
        for question in (run.get_metrics, run.get_status, lambda: run.download_file("f", self.path("f"))):
            with self.assertRaises(runlog.AzureMLException) as raised:
                question()
            self.assertIn("no agent answers", str(raised.exception))
        self.assertFalse(os.path.exists(self.path("f")))
