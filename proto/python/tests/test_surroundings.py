"""What the environment says."""

import unittest

from runlog import _surroundings


class Addresses(unittest.TestCase):
    def test_the_agent_is_looked_for_where_it_listens(self):
        self.assertEqual(
            _surroundings.addresses({"RUNLOG_STATE_DIR": "/state"}),
            ["/state/otlp.sock", "/run/runlog/otlp.sock", ("127.0.0.1", 4318)],
        )

    def test_what_is_given_is_all_that_is_tried(self):
        for given, expected in [
            ("/a/b.sock", "/a/b.sock"),
            ("unix:/a/b.sock", "/a/b.sock"),
            ("10.0.0.7:4318", ("10.0.0.7", 4318)),
            ("[::1]:4318", ("::1", 4318)),
            ("/a:4318", "/a:4318"),
        ]:
            self.assertEqual(_surroundings.addresses({"RUNLOG_SOCKET": given}), [expected])

    def test_the_spool_is_the_agents(self):
        self.assertEqual(_surroundings.spool({"RUNLOG_STATE_DIR": "/state"}), "/state/spool")
        self.assertEqual(_surroundings.spool({"RUNLOG_STATE_DIR": "/s", "RUNLOG_OTLP_SPOOL": "/spool"}), "/spool")


class Ranks(unittest.TestCase):
    def test_the_first_launcher_that_is_complete_counts(self):
        for environment, expected in [
            ({}, []),
            ({"RANK": "3"}, []),
            ({"RANK": "3", "WORLD_SIZE": "8"}, [("ml.rank", 3), ("ml.world_size", 8)]),
            (
                {"RANK": "1", "WORLD_SIZE": "2", "SLURM_PROCID": "0", "SLURM_STEP_ID": "0"},
                [("ml.rank", 1), ("ml.world_size", 2)],
            ),
            ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, []),
            (
                {"SLURM_PROCID": "2", "SLURM_STEPID": "0", "SLURM_LOCALID": "1", "SLURM_NTASKS": "4"},
                [("ml.rank", 2), ("ml.local_rank", 1), ("ml.world_size", 4)],
            ),
            ({"RANK": "$(RANK)", "WORLD_SIZE": "2"}, []),
            ({"TORCHELASTIC_RESTART_COUNT": "2"}, [("ml.run.restart", 2)]),
        ]:
            self.assertEqual(_surroundings.ranks(environment), expected, environment)

    def test_the_run_is_told_as_it_is_set(self):
        environment = {"RUNLOG_RUN_ID": "r", "RUNLOG_EXPERIMENT": "", "RUNLOG_ATTEMPT": "2"}
        self.assertEqual(_surroundings.run(environment), [("ml.run.id", "r"), ("ml.run.attempt", "2")])
