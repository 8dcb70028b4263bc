"""Logs in small steps until its stdin ends, and says each time that its level has become another one."""

import logging
import sys
import threading
import time

import runlog

logging.basicConfig(level=logging.INFO, stream=sys.stderr)
runlog.basicConfig()
log = logging.getLogger("train")
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
level = None
while not ended.is_set():
    if log.getEffectiveLevel() != level:
        level = log.getEffectiveLevel()
        print(f"level {level}", flush=True)
    log.debug("a step")
    time.sleep(0.01)
