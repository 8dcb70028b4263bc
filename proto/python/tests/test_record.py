"""What a record becomes."""

import enum
import json
import logging
import unittest

from runlog import _record


class Levels(unittest.TestCase):
    def test_each_level_has_its_number(self):
        expected = {
            0: 0,
            -1: 0,
            1: 1,
            9: 1,
            10: 5,
            12: 7,
            19: 8,
            20: 9,
            25: 12,
            30: 13,
            45: 20,
            50: 21,
            52: 23,
            900: 24,
        }
        self.assertEqual({level: _record.severity(level) for level in expected}, expected)


class Values(unittest.TestCase):
    def value(self, value):
        return json.loads(_record.attribute("a", value))["value"]

    def test_values_keep_their_type(self):
        kind = enum.IntEnum("Kind", "A")
        for value, expected in [
            (True, {"boolValue": True}),
            (kind.A, {"intValue": "1"}),
            (2**70, {"stringValue": str(2**70)}),
            (0.1, {"doubleValue": 0.1}),
            (float("inf"), {"stringValue": "inf"}),
            (None, {}),
            (b"\xff", {"bytesValue": "/w=="}),
            ((1,), {"arrayValue": {"values": [{"intValue": "1"}]}}),
            ({1: "a"}, {"kvlistValue": {"values": [{"key": "1", "value": {"stringValue": "a"}}]}}),
            ({1}, {"stringValue": "{1}"}),
        ]:
            self.assertEqual(self.value(value), expected)

    def test_a_number_of_numpy_is_a_number(self):
        class Scalar:
            ndim = 0

            def item(self):
                return 2.5

        self.assertEqual(self.value(Scalar()), {"doubleValue": 2.5})

    def test_what_is_endless_or_huge_has_an_end(self):
        endless = []
        endless.append(endless)
        self.assertIn("[[...]]", json.dumps(self.value(endless)))
        wide = [[[0] * 100] * 100] * 100
        self.assertLess(len(json.dumps(self.value(wide))), 100 * 2 * _record.TEXT_CHARACTERS)
        text = self.value("x" * (_record.TEXT_CHARACTERS + 5))["stringValue"]
        self.assertTrue(text.endswith("… and 5 more characters"))

    def test_what_cannot_be_shown_is_said(self):
        class Broken:
            def __getattr__(self, name):
                raise RuntimeError("no")

        self.assertIn("cannot be shown: RuntimeError", self.value(Broken())["stringValue"])


class Records(unittest.TestCase):
    def encode(self, encoder, **given):
        record = logging.makeLogRecord({"name": "n", "levelno": 20, "levelname": "INFO", "msg": "m", **given})
        return [json.loads(one) for one in encoder.encode(record, None)]

    def attributes(self, record):
        return {pair["key"]: next(iter(pair["value"].values()), None) for pair in record["attributes"]}

    def test_uids_never_meet(self):
        one, other = _record.Encoder({}), _record.Encoder({})
        records = self.encode(one) + self.encode(one) + self.encode(other)
        uids = {self.attributes(record)["log.record.uid"] for record in records}
        self.assertEqual([len(uid) for uid in uids], [32, 32, 32])

    def test_names_of_ours_are_not_given_twice(self):
        (record,) = self.encode(_record.Encoder({}), **{"thread.id": 7, "message": "standard", "taskName": "t"})
        keys = [pair["key"] for pair in record["attributes"]]
        self.assertEqual(len(keys), len(set(keys)))
        self.assertEqual(self.attributes(record)["extra.thread.id"], "7")
        self.assertNotIn("taskName", keys)

    def test_a_rank_that_is_set_later_is_seen(self):
        environment = {}
        encoder = _record.Encoder(environment)
        (before,) = self.encode(encoder, created=1000.0)
        environment.update(RANK="1", WORLD_SIZE="2")
        (after,) = self.encode(encoder, created=1002.0)
        self.assertNotIn("ml.rank", self.attributes(before))
        self.assertEqual(self.attributes(after)["ml.rank"], "1")

    def test_a_traceback_that_was_formatted_elsewhere_is_kept(self):
        # As QueueHandler leaves it.
        (record,) = self.encode(_record.Encoder({}), exc_info=None, exc_text="Traceback: there")
        self.assertEqual(self.attributes(record)["exception.stacktrace"], "Traceback: there")

    def test_a_formatter_makes_the_text(self):
        record = logging.makeLogRecord({"name": "n", "levelno": 20, "levelname": "INFO", "msg": "m"})
        (one,) = _record.Encoder({}).encode(record, logging.Formatter("%(levelname)s %(message)s"))
        self.assertEqual(json.loads(one)["body"]["stringValue"], "INFO m")
