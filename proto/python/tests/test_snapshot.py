"""Which files of a folder are submitted."""

import io
import os
import zipfile
from unittest import mock

from stand_in import Case

import runlog
from runlog import _snapshot
from runlog._snapshot import Snapshot


class Ignored(Case):
    def files(self, rules, names, ignore=".gitignore"):
        for name in names:
            self.write(f"source/{name}")
        self.write(f"source/{ignore}", rules.encode())
        return [name for name in Snapshot(self.path("source")).files if not os.path.basename(name).startswith(".")]

    def test_patterns_are_those_of_git(self):
        names = [
            "a.pkl",
            "a.py",
            "deep/a.pkl",
            "deep/b.pkl",
            "deep/er/c.txt",
            "build/x.py",
            "src/build/y.py",
            "d1",
            "d2",
        ]
        for rules, expected in [
            ("*.pkl", ["a.py", "build/x.py", "d1", "d2", "deep/er/c.txt", "src/build/y.py"]),
            (
                "/*.pkl\n",
                ["a.py", "build/x.py", "d1", "d2", "deep/a.pkl", "deep/b.pkl", "deep/er/c.txt", "src/build/y.py"],
            ),
            ("build/", ["a.pkl", "a.py", "d1", "d2", "deep/a.pkl", "deep/b.pkl", "deep/er/c.txt"]),
            ("/build/\n", ["a.pkl", "a.py", "d1", "d2", "deep/a.pkl", "deep/b.pkl", "deep/er/c.txt", "src/build/y.py"]),
            ("deep/**/*.txt\ndeep/?.pkl\n", ["a.pkl", "a.py", "build/x.py", "d1", "d2", "src/build/y.py"]),
            ("# nothing\n\n*.pkl  \n!deep/b.pkl\nd[!1]\nbuild", ["a.py", "d1", "deep/b.pkl", "deep/er/c.txt"]),
            ("**/build/*.py\n\\#no", ["a.pkl", "a.py", "d1", "d2", "deep/a.pkl", "deep/b.pkl", "deep/er/c.txt"]),
        ]:
            self.assertEqual(self.files(rules, names), expected, rules)

    def test_our_own_file_counts_before_azuremls_and_gits(self):
        self.files("*", ["a", "b"], ".gitignore")
        self.assertEqual(self.files("a", ["a", "b"], ".amlignore"), ["b"])
        self.assertEqual(self.files("b", ["a", "b"], ".runlogignore"), ["a"])

    def test_what_version_control_and_python_leave_is_no_part(self):
        self.assertEqual(self.files("", [".git/HEAD", "__pycache__/a.pyc", "deep/__pycache__/b.pyc", "a.py"]), ["a.py"])


class Limits(Case):
    def test_too_much_is_an_error_that_names_the_largest_and_the_ignore_file(self):
        for name, size in (("small", 10), ("large.bin", 3000), ("larger.bin", 5000)):
            self.write(f"source/{name}", b"x" * size)
        with mock.patch.object(_snapshot, "MOST_BYTES", 8000), self.assertRaises(runlog.SnapshotException) as raised:
            Snapshot(self.path("source"))
        said = str(raised.exception)
        self.assertIn("has 3 files", said)
        self.assertLess(said.index("larger.bin"), said.index("large.bin"))
        self.assertIn(self.path("source", ".runlogignore"), said)
        with mock.patch.object(_snapshot, "MOST_FILES", 2), self.assertRaises(runlog.SnapshotException):
            Snapshot(self.path("source"))
        with self.assertRaises(runlog.SnapshotException):
            Snapshot(self.path("missing"))

    def test_a_snapshot_is_the_same_bytes_each_time(self):
        self.write("source/deep/a.py", b"a")
        self.write("source/b.py", b"b")
        agent = self.stand_in()
        digests = set()
        for _ in range(2):
            run = self.run_at(agent, snapshot_directory=self.path("source"))
            run.complete()
            os.utime(self.path("source", "b.py"), (1, 1))
            (said,) = [
                one.said for one in agent.records if one.name == "ml.artifact" and one.resource["ml.run.id"] == run.id
            ]
            digests.add(said["ml.artifact.sha256"])
        (digest,) = digests
        with zipfile.ZipFile(io.BytesIO(agent.files[digest])) as packed:
            self.assertEqual({name: packed.read(name) for name in packed.namelist()}, {"b.py": b"b", "deep/a.py": b"a"})
