"""Logs and ends: ends.py HOW."""

import logging
import os
import signal
import sys
import threading
import time

import runlog

runlog.basicConfig(level=logging.INFO)
log = logging.getLogger("end")
how = sys.argv[1]
log.info("first")
if how == "raise":
    log.info("last")
    raise SystemError("uncaught")
if how == "exit":
    log.info("last")
    sys.exit(3)
if how == "thread":
    # It goes on when the main thread has ended.
    threading.Thread(target=lambda: (time.sleep(0.3), log.info("last"))).start()
if how == "signal-handler":
    signal.signal(signal.SIGTERM, lambda *_: (log.info("last"), sys.exit(0)))
    # In the midst of logging.
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    while True:
        logging.getLogger("noise").info("noise")
if how in ("SIGTERM", "SIGKILL", "_exit"):
    log.info("last")
    # Until it is told that this has arrived.
    sys.stdin.read()
    if how == "_exit":
        os._exit(0)
    os.kill(os.getpid(), getattr(signal, how))
