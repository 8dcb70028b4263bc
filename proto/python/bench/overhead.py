"""Microseconds of one logging call: runlog's handler beside a file and beside OpenTelemetry's SDK, and of `run.log`.

    proto/python/bench/overhead.py [RECORDS]

What takes what is sent is a thread of its own process that answers each request, so what is measured is what training
pays: the call itself, and the interpreter's time that delivering takes from it. The best of five rounds counts, each of
which goes through all handlers, since the machine's pace changes. OpenTelemetry is left out where it is not installed.
"""

import logging
import multiprocessing
import os
import socket
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "src"))

import runlog

ROUNDS = 5


def answer(listener):
    """Take requests of one connection after the other, and answer each."""
    while True:
        connection, _ = listener.accept()
        file = connection.makefile("rb")
        while True:
            length = 0
            line = file.readline()
            if not line:
                break
            while line not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
                line = file.readline()
            file.read(length)
            # An empty answer is a success in either encoding.
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 0\r\n\r\n")


def serve(family, address):
    """Start a process that answers there."""
    listener = socket.socket(family)
    listener.bind(address)
    listener.listen(8)
    process = multiprocessing.Process(target=answer, args=(listener,), daemon=True)
    process.start()
    return listener.getsockname(), process


def otel(port):
    """Give OpenTelemetry's handler, with its usual batches, or none."""
    try:
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    except ImportError:
        return None
    provider = LoggerProvider()
    # The queue holds all of a round, so that nothing is dropped, which would cost less.
    processor = BatchLogRecordProcessor(OTLPLogExporter(f"http://127.0.0.1:{port}/v1/logs"), max_queue_size=1_000_000)
    provider.add_log_record_processor(processor)
    handler = LoggingHandler(logger_provider=provider)
    handler.settle = provider.force_flush
    return handler


def measure(handler, records):
    """Give microseconds a call, and microseconds a record until all are delivered."""
    log = logging.getLogger("bench.train")
    log.propagate = False
    log.setLevel(logging.DEBUG)
    log.addHandler(handler)
    began = time.perf_counter()
    for number in range(records):
        log.info("step %d loss %.4f", number, 1 / (number + 1), extra={"lr": 0.001})
    called = time.perf_counter()
    getattr(handler, "settle", handler.flush)()
    settled = time.perf_counter()
    log.removeHandler(handler)
    return (called - began) / records * 1e6, (settled - began) / records * 1e6


def main():
    """Measure and print."""
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    folder = tempfile.mkdtemp()
    path, unix = serve(socket.AF_UNIX, os.path.join(folder, "otlp.sock"))
    (_, port), tcp = serve(socket.AF_INET, ("127.0.0.1", 0))
    file = logging.StreamHandler(open(os.path.join(folder, "train.log"), "w"))
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    handlers = {
        "nothing (NullHandler)": logging.NullHandler(),
        "a file (StreamHandler)": file,
        "runlog.Handler, socket": runlog.Handler(socket=path, spool=os.path.join(folder, "never")),
        "runlog.Handler, spool": runlog.Handler(socket="/nonexistent", spool=os.path.join(folder, "spool")),
        "OpenTelemetry's handler": otel(port),
    }
    figures = {name: [] for name, handler in handlers.items() if handler is not None}
    for _ in range(ROUNDS):
        for name, found in figures.items():
            found.append(measure(handlers[name], records))
    base = min(figures["a file (StreamHandler)"])[0]
    print(f"Python {sys.version.split()[0]}, {records} records, best of {ROUNDS} rounds")
    for name, found in figures.items():
        call, whole = min(one[0] for one in found), min(one[1] for one in found)
        print(f"{name:26} {call:6.1f} us a call, {call / base:5.2f} of a file; {whole:6.1f} us until delivered")
    other, third = serve(socket.AF_UNIX, os.path.join(folder, "other.sock"))
    os.environ.update(RUNLOG_SOCKET=other, RUNLOG_OTLP_SPOOL=os.path.join(folder, "never"))
    run = runlog.Experiment(runlog.Workspace(), "bench").start_logging()
    found = [measure_run(run, records) for _ in range(ROUNDS)]
    call, whole = min(one[0] for one in found), min(one[1] for one in found)
    slowest = max(one[2] for one in found)
    print(
        f"{'run.log, socket':26} {call:6.1f} us a call, the slowest {slowest:.0f} us; {whole:6.1f} us until delivered"
    )
    third.terminate()
    unix.terminate()
    tcp.terminate()


def measure_run(run, records):
    """Give microseconds a call, until all are delivered, and of the slowest call."""
    slowest = 0.0
    began = time.perf_counter()
    for number in range(records):
        called = time.perf_counter()
        run.log("loss", 1 / (number + 1), step=number)
        slowest = max(slowest, time.perf_counter() - called)
    logged = time.perf_counter()
    run.flush()
    settled = time.perf_counter()
    return (logged - began) / records * 1e6, (settled - began) / records * 1e6, slowest * 1e6


if __name__ == "__main__":
    main()
