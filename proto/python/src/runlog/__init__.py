"""Python's ``logging`` into runlog.

>>> import logging, runlog
>>> runlog.basicConfig(level=logging.DEBUG)
>>> logging.getLogger("train").info("epoch %d", 1, extra={"loss": 0.25})

Standard library only. Nothing here raises, prints or makes training wait; what is lost is counted.
"""

from runlog.logs import Handler, basicConfig

__all__ = ["Handler", "__version__", "basicConfig"]

__version__ = "0.1.0"
