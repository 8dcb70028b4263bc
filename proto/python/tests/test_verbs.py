"""What a run logs, and what becomes of odd values."""

import io
import itertools
import json
import math
import struct
import zlib

from stand_in import Case

import runlog
from runlog import _verbs
from runlog._value import take


class Number:
    """As numpy and torch have them."""

    def __init__(self, number):
        self.ndim = 0
        self.number = number

    def item(self):
        return self.number


class Broken:
    def __repr__(self):
        raise RuntimeError("no")

    def __iter__(self):
        raise RuntimeError("no")


def png(width, height):
    """Draw a picture."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    rows = (b"\0" + b"\0" * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Values(Case):
    def test_values_stay_and_all_else_is_its_repr(self):
        class Text(str):
            def __str__(self):
                return "another"

        for given, expected, is_shown in [
            (None, None, False),
            (True, True, False),
            (-(2**63), -(2**63), False),
            (2**63, str(2**63), True),
            (0.1, 0.1, False),
            (Text("a"), "a", False),
            (Number(3), 3, False),
            (Number(True), True, False),
            (Number(0.5), 0.5, False),
            # A float128 gives itself.
            (Number((1,)), None, True),
            ([1], "[1]", True),
            (b"x", "b'x'", True),
        ]:
            taken = take(given)
            self.assertEqual((taken.is_shown, type(taken.value)), (is_shown, type(expected or taken.value)), given)
            if expected is not None:
                self.assertEqual(taken.value, expected)
        self.assertEqual(take(Broken()).value, "<Broken whose repr() raises RuntimeError>")


class Logged(Case):
    def setUp(self):
        super().setUp()
        self.agent = self.stand_in()
        self.run_ = self.run_at(self.agent)

    def told(self, name):
        self.run_.flush()
        return [one for one in self.agent.records if one.name == name]

    def test_a_scalar_has_its_value_its_step_and_its_description(self):
        self.run_.log("loss", 0.25, "of training", 7)
        self.run_.log("loss", Number(3), step=Number(8))
        self.run_.log("category", "Red")
        self.run_.log("ok", True)
        self.run_.log("nothing", None)
        first, second, text, truth, nothing = self.told("ml.metric")
        self.assertEqual(first.body, "loss 0.25 at step 7")
        self.assertLessEqual(
            {
                "ml.metric.name": "loss",
                "ml.metric.value": 0.25,
                "ml.step": 7,
                "ml.metric.description": "of training",
                "event.name": "ml.metric",
            }.items(),
            first.said.items(),
        )
        self.assertEqual((second.said["ml.metric.value"], second.said["ml.step"]), (3, 8))
        self.assertEqual((text.said["ml.metric.text"], truth.said["ml.metric.value"]), ("Red", True))
        self.assertFalse({"ml.metric.value", "ml.metric.text", "ml.step"} & nothing.said.keys())
        times = [one.time for one in (first, second, text, truth, nothing)]
        self.assertEqual(times, sorted(set(times)))
        self.assertEqual(len({one.said["log.record.uid"] for one in self.agent.records}), len(self.agent.records))

    def test_what_is_no_number_is_a_warning_in_the_log(self):
        for value in (float("nan"), float("inf"), float("-inf")):
            self.run_.log("loss", value)
        found = self.told("ml.metric")
        self.assertEqual([one.severity for one in found], [13, 13, 13])
        self.assertTrue(all(one.said["ml.metric.nonfinite"] is True for one in found))
        values = [one.said["ml.metric.value"] for one in found]
        self.assertTrue(math.isnan(values[0]))
        self.assertEqual(values[1:], [math.inf, -math.inf])

    def test_a_list_is_any_iterable_in_parts_of_250(self):
        self.run_.log_list("fibonacci", (number for number in range(600)))
        self.run_.log_list("empty", [])
        self.run_.log_list("one", 5)
        *parts, empty, one = [one.said["ml.list.values"] for one in self.told("ml.list")]
        self.assertEqual([len(part) for part in parts], [250, 250, 100])
        self.assertEqual(list(itertools.chain(*parts)), list(range(600)))
        self.assertEqual((empty, one), ([], [5]))

    def test_rows_and_tables_keep_their_types(self):
        self.run_.log_row("cosine", angle=1, cos=0.5, kind="a", ok=True, none=None)
        self.run_.log_table("sine", {"angle": [1, 2], "sin": (float("nan"), "x\ud800")}, "d")
        (row,) = self.told("ml.row")
        columns = {"angle": 1, "cos": 0.5, "kind": "a", "ok": True, "none": None}
        self.assertEqual((row.said["ml.table.name"], row.said["ml.row"]), ("cosine", columns))
        self.assertEqual(row.body, "cosine angle=1 cos=0.5 kind=a ok=True none=null")
        (table,) = self.told("ml.table")
        expected = {"angle": [1, 2], "sin": [{"number": "NaN"}, "x\ufffd"]}
        self.assertEqual(json.loads(table.said["ml.table.data"]), expected)
        self.assertEqual((table.said["ml.table.rows"], table.said["ml.table.columns"]), (2, 2))

    def test_a_large_table_becomes_several(self):
        rows = 5000
        self.run_.log_table("t", {"a": list(range(rows)), "b": ["text"] * rows})
        tables = [one.said["ml.table.data"] for one in self.told("ml.table")]
        self.assertGreater(len(tables), 1)
        self.assertLessEqual(max(map(len, tables)), 32 * 1024)
        self.assertEqual(list(itertools.chain(*[json.loads(table)["a"] for table in tables])), list(range(rows)))

    def test_columns_that_are_too_short_are_filled_and_told(self):
        self.run_.log_table("t", {"a": [1, 2, 3], "b": [1]})
        (table,) = self.told("ml.table")
        self.assertEqual(json.loads(table.said["ml.table.data"])["b"], [1, None, None])
        self.assertIn("not equally long", self.said[0])

    def test_what_may_not_be_meant_is_told_once_and_logged(self):
        for _ in range(3):
            self.run_.log("odd", {1})
        self.run_.log("loss", 1)
        self.run_.log_row("loss", a=1)
        self.run_.log_row("wide", **{f"c{number}": number for number in range(16)})
        self.run_.log("n" * 300, 1)
        self.run_.log("step", 1, step="a")
        for sentence in (
            "of type set",
            "was logged as a series before",
            "16 columns",
            "300 characters",
            "whole number",
        ):
            self.assertEqual(sum(sentence in said for said in self.said), 1, (sentence, self.said))
        self.assertEqual([one.said["ml.metric.text"] for one in self.told("ml.metric")[:3]], ["{1}"] * 3)
        self.assertEqual(len(self.told("ml.row")), 2)

    def test_nothing_that_is_logged_raises(self):
        self.run_.log_list("l", Broken())
        self.run_.log_table("t", 5)
        self.run_.log(Broken, Broken())
        self.run_.log("s", "\ud800")
        self.run_.log_row("r", a=Broken())
        self.run_.tag("t", Broken())
        self.assertEqual(len([said for said in self.said if "has logged nothing" in said]), 3)
        self.assertEqual([one.said["ml.metric.text"] for one in self.told("ml.metric")][1], "\ufffd")

    def test_a_text_of_ten_megabytes_is_kept_whole_as_a_file(self):
        text = "x" * 10_000_000
        self.run_.log("big", text)
        (metric,) = self.told("ml.metric")
        (artifact,) = self.told("ml.artifact")
        self.assertTrue(metric.said["ml.metric.text"].startswith("x" * _verbs.TEXT_CHARACTERS + "… and "))
        self.assertIn(artifact.said["ml.artifact.name"], metric.said["ml.metric.text"])
        self.assertEqual(self.agent.files[artifact.said["ml.artifact.sha256"]], text.encode())

    def test_a_picture_is_a_file_with_a_size_and_a_metric_that_says_where(self):
        self.run_.log_image("curve", path=self.write("curve.png", png(3, 2)), description="d")

        class Plot:
            def savefig(self, file, **_):
                file.write(png(5, 4))

        self.run_.log_image("plot", plot=Plot())
        by_path, by_plot = self.told("ml.artifact")
        self.assertLessEqual(
            {
                "ml.artifact.name": "curve.png",
                "ml.artifact.kind": "image",
                "ml.artifact.media_type": "image/png",
                "ml.artifact.width": 3,
                "ml.artifact.height": 2,
                "ml.artifact.description": "d",
            }.items(),
            by_path.said.items(),
        )
        self.assertRegex(by_plot.said["ml.artifact.name"], r"^plot_\d+\.png$")
        self.assertEqual(self.agent.files[by_plot.said["ml.artifact.sha256"]], png(5, 4))
        metric = self.told("ml.metric")[0].said
        self.assertEqual(metric["ml.metric.text"], f"runlog://{self.run_.id}/curve.png")

    def test_json_is_kept_with_its_kind(self):
        value = {"schema_type": "confusion_matrix", "schema_version": "v1", "data": {"matrix": [[1]]}}
        self.run_.log_confusion_matrix("cm", value)
        self.run_.log_accuracy_table("at", json.dumps(value))
        self.run_.log_residuals("rs", value)
        self.run_.log_predictions("ps", value)
        found = self.told("ml.artifact")
        kinds = [one.said["ml.artifact.schema_type"] for one in found]
        self.assertEqual(kinds, ["confusion_matrix", "accuracy_table", "residuals", "predictions"])
        for one in found:
            self.assertEqual(json.loads(self.agent.files[one.said["ml.artifact.sha256"]]), value)

    def test_calls_that_cannot_be_meant_are_errors(self):
        path = self.write("text.txt")
        for call, sentence in [
            (lambda: self.run_.log_image("i"), "either a path or a plot"),
            (lambda: self.run_.log_image("i", path=path, plot=5), "either a path or a plot"),
            (lambda: self.run_.log_image("i", plot=5), "not 5"),
            (lambda: self.run_.log_image("i", path=path), "is no picture"),
            (lambda: self.run_.log_image("i", path=self.path("missing")), "missing cannot be read"),
            (lambda: self.run_.log_confusion_matrix("c", "{"), "is no JSON"),
            (lambda: self.run_.log_confusion_matrix("c", [1]), "takes a dict"),
            (lambda: self.run_.upload_file("f", self.path("missing")), "missing' cannot be read: No such file"),
            (lambda: self.run_.upload_file("../f", path), "cannot name a file"),
            (lambda: self.run_.upload_file("/f", path), "cannot name a file"),
            (lambda: self.run_.upload_file("a//f", path), "cannot name a file"),
            (lambda: self.run_.upload_file("", path), "cannot name a file"),
            (lambda: self.run_.upload_file("a\nb", path), "cannot name a file"),
            (lambda: self.run_.upload_folder("f", path), "is no folder"),
        ]:
            with self.assertRaises(runlog.UserErrorException) as raised:
                call()
            self.assertIn(sentence, str(raised.exception))
        self.assertEqual(self.told("ml.artifact"), [])

    def test_files_keep_their_names_and_folders_their_tree(self):
        self.write("tree/a.txt", b"a")
        self.write("tree/deep/er/b.json", b"{}")
        self.run_.upload_file("./outputs/model.bin", io.BytesIO(b"bytes"))
        self.run_.upload_file("text", io.StringIO("ü"))
        self.run_.upload_folder("kept", self.path("tree"))
        self.run_.flush()
        found = {one.said["ml.artifact.name"]: one.said for one in self.told("ml.artifact")}
        self.assertEqual(set(found), {"outputs/model.bin", "text", "kept", "kept/a.txt", "kept/deep/er/b.json"})
        self.assertEqual(self.agent.files[found["text"]["ml.artifact.sha256"]], "ü".encode())
        self.assertEqual((found["kept"]["ml.artifact.kind"], found["kept"]["ml.artifact.size"]), ("folder", 3))
        self.assertEqual(found["kept/deep/er/b.json"]["ml.artifact.media_type"], "application/json")

    def test_tags_are_texts_and_parameters_keep_their_type(self):
        self.run_.tag("favourite")
        self.run_.set_tags({"rank": 1})
        self.run_.add_properties({"owner": "me"})
        self.run_.add_parameters({"alpha": 0.4})
        tags = [(one.said["ml.run.tag.key"], one.said["ml.run.tag.value"]) for one in self.told("ml.run.tag")]
        self.assertEqual(tags, [("favourite", None), ("rank", "1")])
        self.assertEqual(self.told("ml.run.property")[0].said["ml.run.property.value"], "me")
        self.assertEqual(self.told("ml.run.param")[0].said["ml.run.param.value"], 0.4)
