"""A program that traces and measures its steps through OpenTelemetry's SDK: signals.py PROTOCOL COMPRESSION ENDPOINT STEPS.

Ends with 0 if all of it was acknowledged. OTEL_EXPORTER_OTLP_CERTIFICATE and OTEL_EXPORTER_OTLP_HEADERS are obeyed.
"""

import sys

protocol, compression, endpoint, steps = sys.argv[1:]

if protocol == "grpc":
    from grpc import Compression
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    compression = {"none": Compression.NoCompression, "gzip": Compression.Gzip}[compression]
    common = {"insecure": endpoint.startswith("http://"), "compression": compression, "timeout": 60}
    measured = OTLPMetricExporter(endpoint, **common)
    traced = OTLPSpanExporter(endpoint, **common)
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    compression = {"none": Compression.NoCompression, "gzip": Compression.Gzip}[compression]
    measured = OTLPMetricExporter(endpoint + "/v1/metrics", compression=compression, timeout=60)
    traced = OTLPSpanExporter(endpoint + "/v1/traces", compression=compression, timeout=60)

from opentelemetry.sdk.metrics import MeterProvider  # noqa: E402
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader  # noqa: E402
from opentelemetry.sdk.resources import Resource  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult  # noqa: E402

refused = []


def watched(exporter, success):
    """The exporter, which remembers what was not acknowledged."""
    export = exporter.export

    def telling(batch, *arguments, **options):
        result = export(batch, *arguments, **options)
        if result != success:
            refused.append(result)
        return result

    exporter.export = telling
    return exporter


resource = Resource.create({"service.name": "trainer"})
reader = PeriodicExportingMetricReader(watched(measured, MetricExportResult.SUCCESS), export_interval_millis=3_600_000)
meters = MeterProvider([reader], resource=resource)
tracers = TracerProvider(resource=resource)
tracers.add_span_processor(BatchSpanProcessor(watched(traced, SpanExportResult.SUCCESS), max_export_batch_size=64))

meter, tracer = meters.get_meter("train"), tracers.get_tracer("train")
counter, times = meter.create_counter("steps"), meter.create_histogram("step.time", unit="s")
for step in range(int(steps)):
    with tracer.start_as_current_span(f"step {step}") as span:
        span.set_attribute("loss", 0.5)
        span.add_event("saved")
        counter.add(1)
        times.record(step / 10)
    if step % 64 == 63:
        tracers.force_flush(60_000)
meters.shutdown(60_000)
tracers.shutdown()
sys.exit(f"not acknowledged: {refused}" if refused else 0)
