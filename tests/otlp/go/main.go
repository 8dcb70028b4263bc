// A program that logs, measures and traces its steps through OpenTelemetry's SDK: main PROTOCOL ADDRESS STEPS.
//
// All is sent with gzip. It ends with 0 if all of it was acknowledged.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

type exporters struct {
	logs    sdklog.Exporter
	metrics metric.Exporter
	traces  *otlptrace.Exporter
}

func overGRPC(ctx context.Context, address string) (exporters, error) {
	logs, err := otlploggrpc.New(ctx, otlploggrpc.WithEndpoint(address), otlploggrpc.WithInsecure(), otlploggrpc.WithCompressor("gzip"))
	metrics, err2 := otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpoint(address), otlpmetricgrpc.WithInsecure(), otlpmetricgrpc.WithCompressor("gzip"))
	traces, err3 := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(address), otlptracegrpc.WithInsecure(), otlptracegrpc.WithCompressor("gzip"))
	return exporters{logs, metrics, traces}, errors.Join(err, err2, err3)
}

func overHTTP(ctx context.Context, address string) (exporters, error) {
	logs, err := otlploghttp.New(ctx, otlploghttp.WithEndpoint(address), otlploghttp.WithInsecure(), otlploghttp.WithCompression(otlploghttp.GzipCompression))
	metrics, err2 := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpoint(address), otlpmetrichttp.WithInsecure(), otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
	traces, err3 := otlptracehttp.New(ctx, otlptracehttp.WithEndpoint(address), otlptracehttp.WithInsecure(), otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	return exporters{logs, metrics, traces}, errors.Join(err, err2, err3)
}

func run(protocol, address string, steps int) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// What a batch in the background could not send is said here, and nowhere else.
	var refused error
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { refused = errors.Join(refused, err) }))

	connect := overHTTP
	if protocol == "grpc" {
		connect = overGRPC
	}
	to, err := connect(ctx, address)
	if err != nil {
		return err
	}
	about, err := resource.Merge(resource.Default(), resource.NewSchemaless(attribute.String("service.name", "trainer")))
	if err != nil {
		return err
	}
	logs := sdklog.NewLoggerProvider(sdklog.WithResource(about), sdklog.WithProcessor(sdklog.NewBatchProcessor(to.logs)))
	meters := metric.NewMeterProvider(metric.WithResource(about), metric.WithReader(metric.NewPeriodicReader(to.metrics)))
	tracers := trace.NewTracerProvider(trace.WithResource(about), trace.WithBatcher(to.traces))

	meter := meters.Meter("train")
	counter, err := meter.Int64Counter("steps")
	times, err2 := meter.Float64Histogram("step.time")
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	for step := range steps {
		inside, span := tracers.Tracer("train").Start(ctx, fmt.Sprintf("step %d", step))
		var record log.Record
		record.SetTimestamp(time.Now())
		record.SetSeverity(log.SeverityWarn)
		record.SetSeverityText("WARN")
		record.SetBody(attribute.StringValue(fmt.Sprintf("step %d", step)))
		record.AddAttributes(attribute.Float64("loss", 0.5))
		logs.Logger("train").Emit(inside, record)
		counter.Add(ctx, 1)
		times.Record(ctx, float64(step)/10)
		span.End()
	}
	return errors.Join(logs.Shutdown(ctx), meters.Shutdown(ctx), tracers.Shutdown(ctx), refused)
}

func main() {
	steps, err := strconv.Atoi(os.Args[3])
	if err == nil {
		err = run(os.Args[1], os.Args[2], steps)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
