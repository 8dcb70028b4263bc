//! OpenTelemetry's variables.

use super::*;
use crate::export::{Compression, Protocol, Proxy};

#[test]
fn the_standard_variables_have_the_meaning_of_the_specification() {
    let export = |variables: &[(&str, &str)]| from(variables).settings.export;
    let endpoint = |variables: &[(&str, &str)]| export(variables).map(|export| export.endpoint.to_string());
    let generic = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/base");
    let logs = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://c:4318/base");
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let bare = ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317");
    assert_eq!(endpoint(&[generic]).as_deref(), Some("http://c:4318/base/v1/logs"));
    assert_eq!(endpoint(&[generic, logs]).as_deref(), Some("http://c:4318/base"));
    assert_eq!(endpoint(&[bare, grpc]).as_deref(), Some("https://c:4317/"));
    assert_eq!(endpoint(&[bare, grpc, ("OTEL_EXPORTER_OTLP_INSECURE", "True")]).as_deref(), Some("http://c:4317/"));
    assert_eq!(faults(&[("RUNLOG_EXPORT_ENDPOINT", "c:4317"), grpc]).0.len(), 1, "ours needs a scheme");

    let export = export(&[
        generic,
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20a%2Cb%3D,broken,x-a=1"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP"),
        ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "brotli"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/c.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/k.pem"),
    ])
    .unwrap();
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(export.headers.0, [header("authorization", "Basic a,b="), header("x-a", "1")]);
    assert_eq!((export.protocol, export.compression), (Protocol::HttpProtobuf, Compression::Gzip));
    assert_eq!(export.timeout, Duration::from_millis(1500));
    assert_eq!(export.certificate.as_deref(), Some(Path::new("/ca.pem")));
    assert_eq!(export.client_identity, Some(("/c.pem".into(), "/k.pem".into())));
}

#[test]
fn a_standard_variable_that_cannot_be_used_is_warned_about_and_ignored() {
    let loaded = from(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "my-secret,a=%zz"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "yes"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=vision,broken=%f"),
        ("OTEL_SDK_DISABLED", "1"),
        ("DOCKER_HOST", "tcp://engine:2375"),
        ("RUNLOG_TELEMETRY_OTLP", "true"),
    ]);
    assert_snapshot!(loaded.warnings.join("\n"), @r#"
    OTEL_EXPORTER_OTLP_PROTOCOL is none of grpc, http/protobuf, http/json; ignored
    OTEL_EXPORTER_OTLP_COMPRESSION is none of none, gzip, zstd; ignored
    OTEL_EXPORTER_OTLP_TIMEOUT is not a number of milliseconds above 0; ignored
    OTEL_EXPORTER_OTLP_HEADERS, entry 1, is not key=value; left out
    OTEL_EXPORTER_OTLP_HEADERS, entry 2, has a % that is not followed by two hexadecimal digits; left out
    OTEL_EXPORTER_OTLP_INSECURE is neither true nor false; taken for false
    OTEL_SDK_DISABLED is neither true nor false; taken for false
    OTEL_RESOURCE_ATTRIBUTES has a % that is not followed by two hexadecimal digits; ignored as a whole
    DOCKER_HOST is not a unix socket, so no containers are collected; set docker.host = "unix:///path" to collect those of another engine
    export.endpoint has port 4317, where gRPC is usual; set export.protocol = "grpc", or use port 4318
    "#);
    assert_eq!(loaded.settings.resource_attributes, []);
    assert_eq!(loaded.settings.docker.collect, Switch::Off);
}

#[test]
fn a_disabled_sdk_exports_nothing_unless_our_own_variable_says_so() {
    let disabled = ("OTEL_SDK_DISABLED", "TRUE");
    let standard = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://c:4318");
    assert_eq!(from(&[disabled, standard]).settings.export, None);
    let own = from(&[disabled, ("RUNLOG_EXPORT_ENDPOINT", "http://c:4318")]);
    assert!(own.settings.export.is_some());
    assert_snapshot!(own.warnings.join("\n"), @"OTEL_SDK_DISABLED is not obeyed: environment variable RUNLOG_EXPORT_ENDPOINT sets export.endpoint");
}

#[test]
fn json_is_refused_only_where_it_would_be_spoken() {
    let json = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
    assert_eq!(from(&[json]).settings.export, None);
    let endpoint = ("RUNLOG_EXPORT_ENDPOINT", "http://c:4318");
    assert_eq!(faults(&[json, endpoint]).0[0].key, "export.protocol");
    assert!(from(&[json, endpoint, ("RUNLOG_EXPORT_PROTOCOL", "http/protobuf")]).settings.export.is_some());
    assert!(from(&[json, endpoint, ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc")]).settings.export.is_some());
}

#[test]
fn resource_attributes_are_decoded() {
    let loaded =
        from(&[("OTEL_RESOURCE_ATTRIBUTES", " team = vision , note=a%2Cb%3Dc%20d"), ("OTEL_SERVICE_NAME", "ridge")]);
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(loaded.settings.resource_attributes, [pair("team", "vision"), pair("note", "a,b=c d")]);
    assert_eq!(loaded.settings.service_name.as_deref(), Some("ridge"));
    assert_eq!(shown(&loaded, "OTEL_SERVICE_NAME").0, "ridge");
}

#[test]
fn x22_the_proxy_is_what_curl_would_take() {
    let endpoint = ("RUNLOG_EXPORT_ENDPOINT", "https://backend");
    let proxy = |more: &[(&str, &str)]| from(&[&[endpoint], more].concat()).settings.export.unwrap().proxy;
    assert_eq!(proxy(&[("HTTP_PROXY", "http://p:1"), ("HTTPS_PROXY", "")]), Proxy::default());
    let all = [("ALL_PROXY", "http://p:1"), ("HTTPS_PROXY", "http://p:2"), ("https_proxy", "http://p:3")];
    assert_eq!(proxy(&all[..1]).https, "http://p:1");
    assert_eq!(proxy(&all[..2]).https, "http://p:2");
    assert_eq!(proxy(&all).https, "http://p:3");
    assert_eq!(proxy(&[all[1], ("NO_PROXY", "a,b")]).not_for, "a,b");
}
