"""Ends, or goes on, in each of the ways in which Python speaks of an exception. The first argument says which."""

import asyncio
import faulthandler
import logging
import multiprocessing
import sys
import threading
import traceback
import warnings


def fail(number=0):
    return 1 / number


def chained():
    try:
        fail()
    except ZeroDivisionError:
        {}["missing"]


def cause():
    try:
        fail()
    except ZeroDivisionError as error:
        raise RuntimeError("step 3 failed") from error


def many_lines():
    raise RuntimeError(
        "Error(s) in loading state_dict for Net:\n\tMissing key(s) in state_dict: \"a\".\n\tsize mismatch for b."
    )


def validation():
    class ValidationError(ValueError):
        pass

    raise ValidationError("1 validation error for Config\nlr\n  Input should be a valid number [type=float_parsing]")


def noted():
    try:
        fail()
    except ZeroDivisionError as error:
        error.add_note("  while the loss of step 3 was computed")
        raise


def groups():
    errors = []
    for kind in (ValueError, TypeError):
        try:
            raise kind("inner " + kind.__name__)
        except kind as error:
            errors.append(error)
    nested = ExceptionGroup("nested", errors[1:])
    raise ExceptionGroup("two workers failed", [errors[0], nested])


def recursion():
    def deeper():
        deeper()

    deeper()


def import_of_nonsense():
    compile("x = = 1\n", "nonsense.py", "exec")


def logged():
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    log = logging.getLogger("train")
    log.info("step 1")
    try:
        fail()
    except ZeroDivisionError:
        log.exception("step 2 failed")
    log.info("step 3")
    log.error("no traceback follows")
    log.info("step 4")


def printed():
    try:
        fail()
    except ZeroDivisionError:
        traceback.print_exc()
    print("going on", file=sys.stderr)


def warned():
    warnings.warn("lr is high", UserWarning)
    warnings.warn("no longer\nused", DeprecationWarning, stacklevel=1)
    print("going on", file=sys.stderr)


def threaded():
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    print("going on", file=sys.stderr)


class Forgotten:
    def __del__(self):
        fail()


def ignored():
    Forgotten()
    print("going on", file=sys.stderr)


async def lost():
    async def task():
        fail()

    task = asyncio.get_running_loop().create_task(task())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task


def unretrieved():
    logging.basicConfig(level=logging.INFO)
    asyncio.run(lost())
    logging.info("going on")


def process():
    process = multiprocessing.get_context("fork").Process(target=fail)
    process.start()
    process.join()
    print("going on", file=sys.stderr)


def pool():
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.map(fail, [0])


def segfault():
    faulthandler.enable()
    faulthandler._sigsegv()


def hang():
    thread = threading.Thread(target=threading.Event().wait, daemon=True)
    thread.start()
    faulthandler.dump_traceback()
    print("going on", file=sys.stderr)


def fatal():
    faulthandler.enable()
    faulthandler._fatal_error_c_thread()


def excepthook():
    """What torch.distributed puts in place: a prefix before each line."""

    def hook(kind, error, trace):
        text = "".join(traceback.format_exception(kind, error, trace)).rstrip("\n")
        for line in text.split("\n"):
            print("[rank3]: " + line, file=sys.stderr)

    sys.excepthook = hook
    try:
        fail()
    except ZeroDivisionError as error:
        raise RuntimeError("CUDA error: an illegal memory access\nCUDA kernel errors might be reported later\n\nend") from error


print("before", file=sys.stderr, flush=True)
globals()[sys.argv[1]]()
