"""A program that logs through OpenTelemetry's SDK: client.py PROTOCOL COMPRESSION ENDPOINT RECORDS [PADDING].

On stdout it says `ready`, then the number of each record that was acknowledged; the SDK's own complaints go to stderr.
"""

import logging
import os
import sys

protocol, compression, endpoint, records, *padding = sys.argv[1:]
padding = int(padding[0]) if padding else 0

if protocol == "grpc":
    from grpc import Compression
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter

    compressions = {"none": Compression.NoCompression, "gzip": Compression.Gzip}
    exporter = OTLPLogExporter(endpoint, insecure=True, compression=compressions[compression], timeout=300)
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    compressions = {"none": Compression.NoCompression, "gzip": Compression.Gzip}
    exporter = OTLPLogExporter(endpoint + "/v1/logs", compression=compressions[compression], timeout=300)

from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler  # noqa: E402
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult  # noqa: E402
from opentelemetry.sdk.resources import Resource  # noqa: E402


class Telling:
    """Passes batches to the real exporter, and says which records were acknowledged."""

    def export(self, batch):
        result = exporter.export(batch)
        if result == LogRecordExportResult.SUCCESS:
            numbers = [data.log_record.body.split()[1] for data in batch]
            print("\n".join(numbers), flush=True)
        return result

    def shutdown(self):
        exporter.shutdown()

    def force_flush(self, timeout_millis=None):
        return True


logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
provider = LoggerProvider(resource=Resource.create({"service.name": "trainer"}))
processor = BatchLogRecordProcessor(Telling(), schedule_delay_millis=50, max_export_batch_size=100)
provider.add_log_record_processor(processor)
log = logging.getLogger("train")
log.propagate = False
log.setLevel(logging.INFO)
log.addHandler(LoggingHandler(logger_provider=provider))

print("ready", flush=True)
for number in range(int(records)):
    # Random, so that it fills a queue that is compressed.
    log.warning("step %d %s", number, os.urandom(padding).hex(), extra={"loss": 0.5})
    if number % 100 == 99:
        # The processor drops what it has no room for.
        provider.force_flush(60_000)
provider.shutdown()
