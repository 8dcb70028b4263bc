"""Logs to stderr as logging.basicConfig has it: plain.py [FORMAT]."""

import logging
import sys

logging.basicConfig(level=logging.DEBUG, **({"format": sys.argv[1]} if sys.argv[1:] else {}))
log = logging.getLogger("train.ridge")
for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL, 15):
    log.log(level, "epoch 1: loss 0.25")
try:
    {}["layer"]
except KeyError:
    log.exception("failed")
