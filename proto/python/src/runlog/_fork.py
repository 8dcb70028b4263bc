"""What a fork needs: that the threads of this package are gone."""

from __future__ import annotations

import os
import threading
import time

_LOOK_SECONDS = 0.0005


def join(thread: threading.Thread, seconds: float) -> None:
    """Wait so long for the end of a thread, and until the kernel has let go of it.

    Before 3.13 Python counts a thread as ended a moment earlier than the kernel, whose count it goes by when it warns
    of a fork beside threads.
    """
    until = time.monotonic() + seconds
    thread.join(seconds)
    kernels = f"/proc/self/task/{thread.native_id}"
    while not thread.is_alive() and os.path.exists(kernels) and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)
