"""Records between the threads that log and the one that delivers them.

Who logs puts its record into a queue in memory and goes on. One thread takes what has gathered, packs it into requests
and gives each to the agent; what no agent takes is written to the spool, and what finds no room there either waits
here. Only what finds no room here is lost, which is counted and told in a record of its own.

A request that was sent and not answered is sent again as the same bytes: its records have the same uids.
"""

from __future__ import annotations

import binascii
import collections
import itertools
import os
import queue
import sys
import threading
import time
import weakref
from typing import Callable, Iterable, NamedTuple, Tuple

from runlog import _fork
from runlog._agent import Agent, Outcome
from runlog._spool import Spool
from runlog._surroundings import Address

#: What may wait in memory.
BUFFER_BYTES = 16 * 1024 * 1024
#: What waits behind a request without an answer goes to the spool when it has grown to this.
SPILL_BYTES = 4 * 1024 * 1024
#: A request is closed at this size. It becomes one batch of the agent's.
REQUEST_BYTES = 512 * 1024
#: How long the first record waits for company: what a kill -9 takes, with what is being sent.
LINGER_SECONDS = 0.05
#: How often an agent is looked for that was not there.
AGAIN_SECONDS = 1.0
#: How long a flush waits.
FLUSH_SECONDS = 5.0
#: How long the program's end waits for what a flush has left, before it goes to the spool.
CLOSE_SECONDS = 2.0
#: How long an agent that has no room is asked again before the spool is used.
BUSY_SECONDS = 5.0
#: After so long without records an open file of the spool is left to the agent.
IDLE_SECONDS = 1.0
_TICK_SECONDS = 0.1
#: How long a record waits for the thread that delivers when half of the memory is taken.
_YIELD_SECONDS = 0.001

#: The name of the logger and the record, both as JSON, and the JSON of its resource's attributes, if it is not that of
#: the process.
Entry = Tuple[str, bytes, str]


class Ways(NamedTuple):
    """Where records go."""

    addresses: list[Address]
    spool: str | None
    #: Gives the JSON of the attributes that all records share.
    resource: Callable[[], str]
    #: Gives a record that tells of so many lost ones.
    loss: Callable[[int], Entry]
    #: Told what goes wrong.
    say: Callable[[str], None]
    #: What the receiver wants, if it wants one.
    token: str = ""


class _Mark:
    """Stands in the queue behind what has to be delivered first."""

    def __init__(self, is_end: bool) -> None:
        self.is_end = is_end
        self.is_reached = threading.Event()


class Outbox:
    """The queue of one process, and its thread."""

    def __init__(self, ways: Ways) -> None:
        """Start with nothing. The thread is started with the first record."""
        self._ways = ways
        # It may be put to while the same thread is putting, as from a signal handler; a lock would wait for itself.
        self._inbox: queue.SimpleQueue[Entry | _Mark] = queue.SimpleQueue()
        self._put_bytes = 0
        self._settled_bytes = 0
        self._lost = 0
        self._told = 0
        self._thread: threading.Thread | None = None
        self._has_ended = False
        #: Set before a fork, which is no time for threads: when the thread has to end, whatever is left.
        self._rest_at: float | None = None
        self._is_known_to_multiprocessing = False
        self._hurry = threading.Event()
        self._alone = threading.Lock()
        self._starting = threading.Lock()
        # Of the thread that delivers.
        self._agent = Agent(ways.addresses, self._while_waiting, ways.token)
        self._spool = Spool(ways.spool)
        self._backlog: collections.deque[Entry] = collections.deque()
        self._marks: list[_Mark] = []
        self._try_after = 0.0
        self._spill_after = 0.0
        self._can_spill = True
        self._give_up_at: float | None = None

    @property
    def thread_id(self) -> int | None:
        """The thread that delivers."""
        return self._thread.ident if self._thread is not None and not self._has_ended else None

    def put(self, scope: str, records: Iterable[bytes], resource: str = "") -> None:
        """Take records of one logger, or of one run, whose resource is given.

        Waits for nobody, except that a flood of records lets the thread that writes them to the spool have its turn.
        """
        for record in records:
            waiting_bytes = self._put_bytes - self._settled_bytes
            if waiting_bytes > BUFFER_BYTES // 2 and self._can_spill:
                time.sleep(_YIELD_SECONDS)
            if waiting_bytes + len(record) > BUFFER_BYTES:
                self._lost += 1
            else:
                self._put_bytes += len(record)
                self._inbox.put((scope, record, resource))
        if self._thread is None:
            self._start()
        if self._has_ended:
            self._deliver_here(IDLE_SECONDS)

    def lose(self, count: int) -> None:
        """Count records that never got here."""
        self._lost += count

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until all that was put is delivered or spooled. Says whether it is."""
        return self._reach(_Mark(is_end=False), seconds)

    def close(self, seconds: float = CLOSE_SECONDS) -> bool:
        """Do the same, and end the thread. What is put later is delivered by who puts it."""
        self._give_up_at = time.monotonic() + seconds
        # The end itself, which needs no agent, is waited for a little longer.
        return self._reach(_Mark(is_end=True), seconds + IDLE_SECONDS)

    def end(self) -> None:
        """Deliver or spool all that is left, since the process ends."""
        self.flush()
        self.close()

    def abandon(self) -> None:
        """Leave everything to the process that this one was forked from, whose outbox this is."""
        self._leave()

    def _leave(self) -> None:
        self._agent.close()
        self._spool.end()

    def _reach(self, mark: _Mark, seconds: float) -> bool:
        if self._thread is None or self._has_ended or threading.get_ident() == self.thread_id:
            if self._has_ended:
                self._deliver_here(seconds)
            return self._inbox.empty()
        self._inbox.put(mark)
        self._hurry.set()
        return mark.is_reached.wait(seconds)

    def rest(self, seconds: float) -> None:
        """End the thread for the moment of a fork, unless that takes longer."""
        if self._thread is None or self._has_ended or threading.get_ident() == self.thread_id:
            return
        self._rest_at = time.monotonic() + seconds / 2
        self._inbox.put(_Mark(is_end=False))
        self._hurry.set()
        _fork.join(self._thread, seconds)

    def resume(self) -> None:
        """Go on after a rest. With nothing to do the thread is started with the next record."""
        self._rest_at = None
        if self._thread is not None and not self._thread.is_alive() and not self._has_ended:
            self._thread = None
            if self._backlog or not self._inbox.empty():
                self._start()

    def _start(self) -> None:
        # Two threads may come here at once, or a signal handler in the midst of it: one thread delivers what both put.
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None:
                self._start_thread()
        finally:
            self._starting.release()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run, name="runlog", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:
            # The interpreter is about to end, or is one that has no threads.
            self._has_ended = True
            return
        if self._is_known_to_multiprocessing:
            return
        # Processes of multiprocessing end without atexit; this is what they do instead, after all else.
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            self._is_known_to_multiprocessing = True
            util.Finalize(None, _end, args=(weakref.ref(self),), exitpriority=-100)

    def _run(self) -> None:
        # What was left at a rest.
        is_end = bool(self._backlog) and self._deliver(None)
        while not is_end:
            if self._rest_at is not None and (self._inbox.empty() or self._is_overdue()):
                return
            try:
                first = self._inbox.get(timeout=IDLE_SECONDS if self._spool.is_open else None)
            except queue.Empty:
                self._spool.end()
                continue
            if not isinstance(first, _Mark):
                self._hurry.wait(LINGER_SECONDS)
            self._hurry.clear()
            is_end = self._deliver(first)
        with self._alone:
            # From now on whoever puts something delivers it. What was put just before is delivered here.
            self._has_ended = True
            self._deliver(None)
            self._leave()

    def _deliver_here(self, seconds: float) -> None:
        """Deliver what is there, in a thread of the program: ours has ended."""
        # Not by two at once, nor by a signal handler in the midst of it; theirs goes with the next.
        if not self._alone.acquire(timeout=seconds):
            return
        try:
            self._give_up_at = time.monotonic() + seconds
            self._deliver(None)
            self._leave()
        finally:
            self._alone.release()

    def _deliver(self, first: Entry | _Mark | None) -> bool:
        """Deliver all that is there. Says whether nothing will follow."""
        self._sort(itertools.chain([] if first is None else [first], self._waiting()))
        while (self._backlog or self._lost > self._told) and not self._is_overdue():
            self._deliver_request(self._pack())
            # An agent that answers can be too slow as well.
            self._while_waiting()
        if self._backlog:
            return False
        is_end = any(mark.is_end for mark in self._marks)
        if is_end and not self._has_ended:
            # Reached once the thread has ended in order.
            return True
        for mark in self._marks:
            mark.is_reached.set()
        self._marks.clear()
        return is_end

    def _is_overdue(self) -> bool:
        return self._rest_at is not None and time.monotonic() >= self._rest_at

    def _waiting(self) -> Iterable[Entry | _Mark]:
        try:
            while True:
                yield self._inbox.get_nowait()
        except queue.Empty:
            return

    def _sort(self, items: Iterable[Entry | _Mark]) -> None:
        for item in items:
            if isinstance(item, _Mark):
                self._marks.append(item)
            else:
                self._backlog.append(item)

    def _pack(self) -> _Request:
        """Take as much from the backlog as belongs into one request."""
        entries = []
        size = 0
        tells = self._lost - self._told
        if tells > 0:
            self._told += tells
            entries.append(self._ways.loss(tells))
        while self._backlog and (not entries or size + len(self._backlog[0][1]) <= REQUEST_BYTES):
            entry = self._backlog.popleft()
            entries.append(entry)
            size += len(entry[1])
        return _Request(entries, size, tells)

    def _deliver_request(self, request: _Request) -> None:
        body = request.body(self._ways.resource())
        since = time.monotonic()
        while True:
            if self._agent.is_connected or time.monotonic() >= self._try_after:
                answer = self._agent.send(body)
                if answer.outcome is Outcome.TAKEN:
                    # What is in the spool is for an agent that is there again.
                    self._spool.end()
                    break
                self._ways.say(f"{answer.outcome.name.lower()}: {answer.reason}")
                if answer.outcome is Outcome.TOO_LARGE and len(request.entries) > 1:
                    for half in request.halves():
                        self._deliver_request(half)
                    return
                if answer.outcome in (Outcome.TOO_LARGE, Outcome.REFUSED):
                    self._lost += request.stands_for()
                    break
                if answer.outcome is Outcome.BUSY and time.monotonic() - since < BUSY_SECONDS and self._pause():
                    continue
                self._agent.close()
                self._try_after = time.monotonic() + AGAIN_SECONDS
            if self._spool.write([body]):
                break
            self._can_spill = False
            self._ways.say(f"cannot be spooled: {self._spool.fault}")
            if not self._pause():
                self._lost += request.stands_for()
                break
        self._settled_bytes += request.size

    def _pause(self) -> bool:
        """Wait a moment before the next try. Says whether there is to be one."""
        for _ in range(int(AGAIN_SECONDS / _TICK_SECONDS)):
            time.sleep(_TICK_SECONDS)
            if not self._while_waiting():
                return False
        return True

    def _while_waiting(self) -> bool:
        """Look after what comes while the agent is waited for. Says whether to go on waiting."""
        now = time.monotonic()
        if self._put_bytes - self._settled_bytes > SPILL_BYTES and now >= self._spill_after:
            self._spill()
        return self._give_up_at is None or now < self._give_up_at

    def _spill(self) -> None:
        """Write to the spool what the agent is too slow for."""
        self._sort(self._waiting())
        requests = []
        while self._backlog:
            requests.append(self._pack())
        resource = self._ways.resource()
        if self._spool.write([request.body(resource) for request in requests]):
            self._settled_bytes += sum(request.size for request in requests)
            self._can_spill = True
            return
        self._can_spill = False
        self._spill_after = time.monotonic() + AGAIN_SECONDS
        for request in reversed(requests):
            self._told -= request.tells
            self._backlog.extendleft(reversed(request.entries[request.tells > 0 :]))


class _Request(NamedTuple):
    """Records that are sent together."""

    entries: list[Entry]
    #: The bytes of the records that were put.
    size: int
    #: How many lost records the first one tells of, if it does.
    tells: int

    def body(self, resource: str) -> bytes:
        """Give the JSON of an ``ExportLogsServiceRequest``.

        What a run says gets its uids here: a key of the request, and the place in it. The store knows by them what it
        has had before, and remembers one place for each key. So a key is of what is sent as a whole.
        """
        key = binascii.hexlify(os.urandom(16))
        stamped = [
            (scope, _stamped(record, key, at) if own else record, own)
            for at, (scope, record, own) in enumerate(self.entries)
        ]
        resources = []
        for own, entries in itertools.groupby(stamped, key=lambda entry: entry[2] or resource):
            scopes = []
            for scope, group in itertools.groupby(entries, key=lambda entry: entry[0]):
                records = b",".join([record for _, record, _ in group])
                scopes.append(b'{"scope":{"name":%s},"logRecords":[%s]}' % (scope.encode(), records))
            resources.append(b'{"resource":{"attributes":[%s]},"scopeLogs":[%s]}' % (own.encode(), b",".join(scopes)))
        return b'{"resourceLogs":[%s]}' % b",".join(resources)

    def stands_for(self) -> int:
        """Give how many are lost if this is."""
        return len(self.entries) + self.tells - (self.tells > 0)

    def halves(self) -> list[_Request]:
        """Cut it in two."""
        middle = len(self.entries) // 2
        first = sum(len(record) for _, record, _ in self.entries[self.tells > 0 : middle])
        return [
            _Request(self.entries[:middle], first, self.tells),
            _Request(self.entries[middle:], self.size - first, 0),
        ]


def _stamped(event: bytes, key: bytes, place: int) -> bytes:
    """Give an event with a uid, behind its other attributes."""
    return b'%s,{"key":"log.record.uid","value":{"stringValue":"%s-%d"}}]}' % (event[:-2], key, place)


def _end(outbox: weakref.ref[Outbox]) -> None:
    alive = outbox()
    if alive is not None:
        alive.end()
