//! The variables that OpenTelemetry defines, with its meaning.
//!
//! Sources: OpenTelemetry specification, `protocol/exporter.md` ("Configuration Options") and
//! `configuration/sdk-environment-variables.md`: an empty value counts as not set, a value that cannot be used is
//! warned about and ignored.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use config::Value;

use crate::export::Proxy;

use super::{Origin, layers::Values};

/// What the standard variables say.
#[derive(Debug, Default)]
pub(super) struct Standard {
    /// Options that they set. `OTEL_EXPORTER_OTLP_LOGS_…` has replaced `OTEL_EXPORTER_OTLP_…`.
    pub values: Values,
    /// Whether a gRPC endpoint without a scheme is spoken to without TLS.
    pub insecure: bool,
    /// `OTEL_RESOURCE_ATTRIBUTES`.
    pub resource_attributes: Vec<(String, String)>,
    /// `OTEL_SERVICE_NAME`.
    pub service_name: Option<String>,
    /// Whether `OTEL_SDK_DISABLED` asks for no export.
    pub is_disabled: bool,
    /// `HTTPS_PROXY` and `NO_PROXY`, which are everybody's.
    pub proxy: Proxy,
    /// `RUNTIME_DIRECTORY`, in which systemd lets runlog have a socket.
    pub runtime_dir: Option<PathBuf>,
    /// What was ignored.
    pub warnings: Vec<String>,
}

/// The variable whose endpoint is used as it is, without `/v1/logs`.
pub(super) const LOGS_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT";

const PROTOCOLS: [&str; 3] = ["grpc", "http/protobuf", "http/json"];
// The specification knows none and gzip; zstd is what the OpenTelemetry Collector adds.
const COMPRESSIONS: [&str; 3] = ["none", "gzip", "zstd"];

/// Reads the standard variables.
pub(super) fn read(environment: &BTreeMap<String, String>) -> Standard {
    let mut standard = Standard::default();
    let get = |name: &str| environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());

    // The signal's own variable comes second and so wins.
    for signal in ["", "LOGS_"] {
        let mut each = |suffix: &str, key: &str, read: &dyn Fn(&str) -> Result<Text, String>| {
            let name = format!("OTEL_EXPORTER_OTLP_{signal}{suffix}");
            match get(&name).map(read) {
                Some(Ok(text)) => standard.values.push((key.to_owned(), text.into_value(&name))),
                Some(Err(problem)) => standard.warnings.push(format!("{name} {problem}; ignored")),
                None => {}
            }
        };
        let any = |text: &str| Ok(Text::One(text.to_owned()));
        each("ENDPOINT", "export.endpoint", &any);
        each("PROTOCOL", "export.protocol", &|text| word(text, &PROTOCOLS));
        each("COMPRESSION", "export.compression", &|text| word(text, &COMPRESSIONS));
        each("TIMEOUT", "export.timeout", &milliseconds);
        each("CERTIFICATE", "export.certificate", &any);
        each("CLIENT_CERTIFICATE", "export.client_certificate", &any);
        each("CLIENT_KEY", "export.client_key", &any);

        let name = format!("OTEL_EXPORTER_OTLP_{signal}HEADERS");
        if let Some(text) = get(&name) {
            let headers = headers(text, &name, &mut standard.warnings);
            standard.values.push(("export.headers".to_owned(), Text::Many(headers).into_value(&name)));
        }
        if let Some(insecure) = truth(&format!("OTEL_EXPORTER_OTLP_{signal}INSECURE"), &get, &mut standard.warnings) {
            standard.insecure = insecure;
        }
    }

    if truth("OTEL_SDK_DISABLED", &get, &mut standard.warnings) == Some(true) {
        standard.is_disabled = true;
        let off = Text::One("off".to_owned()).into_value("OTEL_SDK_DISABLED");
        standard.values.push(("export.endpoint".to_owned(), off));
    }
    // As curl reads them: the small name wins, and ALL_PROXY stands in for a missing one.
    let first = |names: &[&str]| names.iter().find_map(|name| get(name)).unwrap_or_default().to_owned();
    standard.proxy = Proxy {
        https: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
        not_for: first(&["no_proxy", "NO_PROXY"]),
    };
    // systemd names several directories with colons between them (systemd.exec, RuntimeDirectory=).
    let runtime_dir = get("RUNTIME_DIRECTORY").and_then(|paths| paths.split(':').next());
    standard.runtime_dir = runtime_dir.filter(|path| path.starts_with('/')).map(PathBuf::from);
    standard.service_name = get("OTEL_SERVICE_NAME").map(str::to_owned);
    if let Some(text) = get("OTEL_RESOURCE_ATTRIBUTES") {
        // "In case of any error … the entire environment variable value SHOULD be discarded" (resource/sdk.md).
        match pairs(text).collect() {
            Ok(attributes) => standard.resource_attributes = attributes,
            Err(problem) => {
                standard.warnings.push(format!("OTEL_RESOURCE_ATTRIBUTES {problem}; ignored as a whole"));
            }
        }
    }
    standard
}

enum Text {
    One(String),
    Many(Vec<String>),
}

impl Text {
    fn into_value(self, variable: &str) -> Value {
        let uri = Origin::Variable(variable.to_owned()).uri();
        match self {
            Self::One(text) => Value::new(Some(&uri), text),
            Self::Many(texts) => {
                Value::new(Some(&uri), texts.into_iter().map(|text| Value::new(Some(&uri), text)).collect::<Vec<_>>())
            }
        }
    }
}

fn word(text: &str, words: &[&str]) -> Result<Text, String> {
    match words.iter().find(|word| text.eq_ignore_ascii_case(word)) {
        Some(word) => Ok(Text::One((*word).to_owned())),
        None => Err(format!("is none of {}", words.join(", "))),
    }
}

fn milliseconds(text: &str) -> Result<Text, String> {
    match text.parse::<u64>() {
        Ok(number) if number > 0 => {
            Ok(Text::One(humantime::format_duration(Duration::from_millis(number)).to_string()))
        }
        _ => Err("is not a number of milliseconds above 0".to_owned()),
    }
}

fn truth<'a>(name: &str, get: &dyn Fn(&str) -> Option<&'a str>, warnings: &mut Vec<String>) -> Option<bool> {
    let text = get(name)?;
    if !text.eq_ignore_ascii_case("true") && !text.eq_ignore_ascii_case("false") {
        warnings.push(format!("{name} is neither true nor false; taken for false"));
    }
    Some(text.eq_ignore_ascii_case("true"))
}

fn headers(text: &str, variable: &str, warnings: &mut Vec<String>) -> Vec<String> {
    let mut headers = Vec::new();
    for (i, pair) in pairs(text).enumerate() {
        match pair {
            Ok((name, value)) => headers.push(format!("{name}={value}")),
            // Neither name nor value is shown: where the form is wrong, either may be the secret.
            Err(problem) => warnings.push(format!("{variable}, entry {}, {problem}; left out", i + 1)),
        }
    }
    headers
}

/// `key=value` pairs with commas between them, percent-encoded: the W3C Baggage form without metadata.
fn pairs(text: &str) -> impl Iterator<Item = Result<(String, String), &'static str>> {
    text.split(',').filter(|entry| !entry.trim().is_empty()).map(|entry| {
        let (key, value) = entry.split_once('=').ok_or("is not key=value")?;
        let (key, value) = (percent_decoded(key.trim())?, percent_decoded(value.trim())?);
        if key.is_empty() { Err("has no key before `=`") } else { Ok((key, value)) }
    })
}

// RFC 3986, section 2.1.
fn percent_decoded(text: &str) -> Result<String, &'static str> {
    const FAULTY: &str = "has a % that is not followed by two hexadecimal digits";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, tail @ ..] = tail else { return Err(FAULTY) };
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(FAULTY);
        bytes.push(digit(*high)? << 4 | digit(*low)?);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 once decoded")
}
