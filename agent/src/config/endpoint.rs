//! The URL that logs are sent to.
//!
//! Source: OpenTelemetry specification, `protocol/exporter.md`, "Endpoint URLs for OTLP/HTTP": a base URL gets the
//! signal's path, a signal's own URL is used as it is.

use url::Url;

use crate::export::Protocol;

use super::fault::Rejected;

/// The path of logs below a base URL.
const LOGS_PATH: &str = "/v1/logs";

/// How an endpoint is meant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meaning {
    /// The path of the signal is added for HTTP.
    Base,
    /// Nothing is added.
    Whole,
}

/// Reads an endpoint. `scheme` is put before an address that has none, if that is allowed.
pub(super) fn endpoint(
    text: &str,
    protocol: Protocol,
    meaning: Meaning,
    scheme: Option<&str>,
) -> Result<Url, Rejected> {
    const USE: &str = "write http://host:port, or https://host:port for TLS";
    let whole = match (text.contains("://"), scheme) {
        (true, _) => text.to_owned(),
        (false, Some(scheme)) => format!("{scheme}://{text}"),
        (false, None) => return Err(Rejected::new("has no scheme", USE)),
    };
    let mut url = Url::parse(&whole).map_err(|error| Rejected::new(format!("is not a URL: {error}"), USE))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Rejected::new(format!("has the scheme {}", url.scheme()), USE));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let remedy = "set export.headers to `authorization=Basic ` and user:password in base64";
        return Err(Rejected::new("holds a user or a password", remedy));
    }
    url.set_fragment(None);
    match (protocol, meaning) {
        (Protocol::Grpc, _) => {
            url.set_path("");
            url.set_query(None);
        }
        (Protocol::HttpProtobuf, Meaning::Whole) => {}
        (Protocol::HttpProtobuf, Meaning::Base) => {
            let base = url.path().trim_end_matches('/').to_owned();
            if !base.ends_with(LOGS_PATH) {
                url.set_path(&(base + LOGS_PATH));
            }
        }
    }
    Ok(url)
}

/// What to say about a port that is customary for the other protocol, the most common mistake of all.
pub(super) fn mistaken_port(url: &Url, protocol: Protocol) -> Option<String> {
    match (protocol, url.port()) {
        (Protocol::HttpProtobuf, Some(4317)) => Some(
            "export.endpoint has port 4317, where gRPC is usual; set export.protocol = \"grpc\", or use port 4318"
                .to_owned(),
        ),
        (Protocol::Grpc, Some(4318)) => Some(
            "export.endpoint has port 4318, where http/protobuf is usual; set export.protocol = \"http/protobuf\", \
             or use port 4317"
                .to_owned(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_becomes_the_url_that_requests_go_to() {
        use Meaning::{Base, Whole};
        use Protocol::{Grpc, HttpProtobuf};
        let cases = [
            ("http://c:4318", HttpProtobuf, Base, None, "http://c:4318/v1/logs"),
            ("http://c:4318/", HttpProtobuf, Base, None, "http://c:4318/v1/logs"),
            ("http://c:4318/v1/logs", HttpProtobuf, Base, None, "http://c:4318/v1/logs"),
            ("http://c:4318/v1/logs/", HttpProtobuf, Base, None, "http://c:4318/v1/logs/"),
            ("https://c/otlp", HttpProtobuf, Base, None, "https://c/otlp/v1/logs"),
            ("https://c/otlp?key=1", HttpProtobuf, Base, None, "https://c/otlp/v1/logs?key=1"),
            ("https://c/own/path", HttpProtobuf, Whole, None, "https://c/own/path"),
            ("https://c", HttpProtobuf, Whole, None, "https://c/"),
            ("http://c:4317/v1/logs?a=b", Grpc, Base, None, "http://c:4317/"),
            ("c:4317", Grpc, Base, Some("https"), "https://c:4317/"),
            ("http://[::1]:4317", Grpc, Whole, Some("https"), "http://[::1]:4317/"),
        ];
        for (text, protocol, meaning, scheme, url) in cases {
            assert_eq!(endpoint(text, protocol, meaning, scheme).unwrap().as_str(), url, "{text}");
        }
    }

    #[test]
    fn an_endpoint_that_cannot_be_reached_by_http_is_refused() {
        for text in ["collector:4318", "collector", "ftp://c", "http://", "http://u:p@c", "http://c:99999", "unix:///a"]
        {
            assert!(endpoint(text, Protocol::HttpProtobuf, Meaning::Base, None).is_err(), "{text}");
        }
    }
}
