"""Logs one record of each kind, configured as dictConfig does it."""

import atexit
import logging
import logging.config
import threading


class Broken:
    def __repr__(self):
        raise ValueError("cannot be shown")


def deep():
    raise KeyError("no such layer")


logging.config.dictConfig(
    {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"runlog": {"class": "runlog.Handler", "level": "DEBUG"}},
        "root": {"level": 1, "handlers": ["runlog"]},
    }
)
log = logging.getLogger("train.ridge")
# Registered later, so it is run before logging's own end.
atexit.register(log.info, "at exit")

log.log(5, "below the handler's level")
log.debug("a %s", "debug", extra={"loss": 0.25, "step": 7, "ok": True, "none": None, "list": [1, "a", {"b": 2.5}]})
log.log(25, "between the levels", stack_info=True)
try:
    deep()
except KeyError:
    log.exception("failed")
log.error("a wrong format: %d", "x")
log.warning("%r", Broken(), extra={"broken": Broken()})
log.critical("umlaut ü, half a pair \udc80, a pair \ud83d\ude00, NUL \0, quote \" and \\")
log.info("h" + "u" * 600_000 + "ge")
logging.getLogger().info("of the root")
thread = threading.Thread(target=log.info, args=("in a thread",), name="loader")
thread.start()
thread.join()
