"""Logs from processes of every kind: workers.py METHOD COUNT. Each logs `NAME STEP`."""

import logging
import multiprocessing
import os
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor

import runlog

# A fork waits a second for what is being sent; an agent that takes longer leaves a thread beside it.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
# In the parent, and in each child that imports this anew.
runlog.basicConfig(level=logging.INFO)


def work(name, count):
    log = logging.getLogger("loader")
    for step in range(count):
        log.info("%s %d", name, step)


def main(method, count):
    context = multiprocessing.get_context(method)
    work("before", count)
    single = context.Process(target=work, args=("process", count))
    single.start()
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        list(pool.map(work, ["pool-0", "pool-1", "pool-2"], [count] * 3))
    single.join()
    if method == "fork":
        # In the middle of what the parent is sending, and without multiprocessing's ways to end.
        work("parent", count)
        child = os.fork()
        if child == 0:
            work("child", count)
            logging.shutdown()
            os._exit(0)
        os.waitpid(child, 0)
    work("after", count)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
