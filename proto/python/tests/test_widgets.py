"""What a notebook shows of a run."""

import contextlib
import io
import sys
import threading
import types
from unittest import mock

from stand_in import Case

import runlog
from runlog import _charts, widgets
from runlog.widgets import RunDetails


class Shown(Case):
    def setUp(self):
        super().setUp()
        self.agent = self.stand_in()
        self.run_ = runlog.Run(runlog.Experiment(self.workspace(self.agent), "e"), "r")
        self.is_at("running", [0.5])

    def is_at(self, status, losses):
        said = {"run_id": "r", "status": status, "tags": {"kind": "<b>"}, "records": 1, "events": 0}
        self.agent.answers["/api/v1/runs/r"] = said
        self.agent.answers["/api/v1/runs/r/metrics"] = {"metrics": {"loss": {"values": losses}}}
        self.agent.answers["/api/v1/runs/r/logs?events=0&tail=20"] = {"lines": [{"body": "<script>alert(1)</script>"}]}

    def test_it_is_plain_html_and_what_a_run_says_is_no_part_of_it(self):
        shown, is_last = RunDetails(self.run_).render()
        self.assertFalse(is_last)
        self.assertIn("<td>Running</td>", shown)
        self.assertIn("&lt;script&gt;", shown)
        self.assertNotIn("<script", shown)
        self.assertNotIn("<b>", shown)

    def test_in_a_notebook_it_is_updated_until_the_run_ends(self):
        updates = []
        has_ended = threading.Event()

        class Handle:
            def update(self, shown):
                updates.append(shown)
                if "Completed" in shown:
                    has_ended.set()

        def display(first, display_id):
            updates.append(first)
            return Handle()

        ipython = types.ModuleType("IPython")
        ipython.get_ipython = lambda: "a notebook"
        ipython.display = types.SimpleNamespace(display=display, HTML=lambda text: text)
        with mock.patch.dict(sys.modules, {"IPython": ipython}), mock.patch.object(widgets, "EVERY_SECONDS", 0.01):
            details = RunDetails(self.run_)
            details.show()
            self.eventually(lambda: len(updates) > 2)
            self.is_at("completed", [0.5, 0.25])
            self.assertTrue(has_ended.wait(30))
            details._thread.join(30)
        self.assertFalse(details._thread.is_alive())
        self.assertIn("Running", updates[0])
        self.assertIn("<polyline", updates[-1])

    def test_elsewhere_it_is_printed_and_an_agent_that_is_away_is_said(self):
        shown = io.StringIO()
        with mock.patch.dict(sys.modules, {"IPython": None}), contextlib.redirect_stdout(shown):
            RunDetails(self.run_).show()
            self.agent.close()
            RunDetails(self.run_).show()
        self.assertIn("<td>Running</td>", shown.getvalue())
        self.assertIn("no agent answers", shown.getvalue())


class Charts(Case):
    def test_a_line_goes_through_the_numbers(self):
        shown = _charts.chart("a<b", [0, 1, float("nan"), "text", None, 2])
        self.assertIn('points="6.0,114.0 67.6,60.0 314.0,6.0"', shown)
        self.assertIn("a&lt;b: 2 (0 to 2, 3 values)", shown)

    def test_what_is_no_line_is_none_and_extremes_are_no_error(self):
        for values in ([], [1], ["a", "b"], [True, False]):
            self.assertEqual(_charts.chart("n", values), "")
        for values in ([1, 1], [1e308, -1e308], [0, 5e-324]):
            shown = _charts.chart("n", values)
            self.assertIn("<polyline", shown)
            self.assertNotIn("nan", shown)

    def test_a_hundred_thousand_points_are_no_more_than_can_be_seen(self):
        self.assertLess(len(_charts.chart("n", list(range(100_000)))), 30_000)
