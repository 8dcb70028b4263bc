//! From merged values to each stage's `Config`.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use config::Value;
use hyper::header::{HeaderName, HeaderValue};

use crate::{
    batch,
    enrich::{LoggerLevel, UnusableLevel, recorder, redact},
    export::{self, Compression, Headers, Protocol},
    parse,
    queue::{self, SyncPolicy},
    record::{Format, Severity},
    run::{ExitWith, RunId, UnusableExitWith},
    serve,
    source::{
        file, journal,
        otlp::{self, Address},
        process,
    },
    store, telemetry,
};

use super::{
    NO_TOKEN, Origin, Settings, Switch,
    endpoint::{Meaning, endpoint, mistaken_port},
    fault::Rejected,
    reader::Reader,
    sources::{docker, kubernetes, units},
    standard::{LOGS_ENDPOINT, Standard},
    values,
};

/// Where programs look for a receiver that nobody has told them of.
const USUAL_PORTS: [SocketAddr; 2] =
    [SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4317), SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4318)];
/// What programs look for in the state directory, beside the socket.
const SPOOL: &str = "spool";

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const YEAR: Duration = Duration::from_hours(365 * 24);
const GIB: u64 = 1 << 30;

/// Reads every option. What cannot be used is in the reader's faults afterwards; then the settings are not valid.
pub(super) fn compose(reader: &mut Reader, standard: &Standard) -> Settings {
    let level = reader.read("level", level);
    let logger_levels = reader.read("logger_levels", logger_levels);
    let run_id = reader.read("run_id", run_id);
    let experiment = reader.read("experiment", values::optional);
    let paths = reader.read("files", values::globs);
    let state_dir = state_dir(reader);
    let file = file::Config {
        paths,
        exclude: reader.read("file.exclude", values::globs),
        poll: reader.read("file.poll", |v| values::duration(v, &(10 * MILLISECOND..=MINUTE))),
        scan: reader.read("file.scan", |v| values::duration(v, &(10 * MILLISECOND..=HOUR))),
        rotate_grace: reader.read("file.rotate_grace", |v| values::duration(v, &(Duration::ZERO..=HOUR))),
        format: reader.read("file.format", format),
        max_open: reader.read("file.max_open", |v| values::count(v, &(1..=1_000_000))),
    };
    let docker = docker(reader);
    let kubernetes = kubernetes(reader);
    let own_socket = standard.runtime_dir.as_ref().unwrap_or(&state_dir).join(Address::SOCKET);
    let otlp = otlp::Config {
        listen: reader.read("otlp.listen", |value| receivers(value, &own_socket)),
        spool: reader.read("otlp.spool", values::path).unwrap_or_else(|| state_dir.join(SPOOL)),
        max_request_bytes: bytes(reader, "otlp.max_request_bytes", 64 * KIB, 64 * MIB),
        token: reader.read("otlp.token", token),
        tls: receiver_tls(reader),
    };
    let journal = journal::Config {
        units: reader.read("journal.units", units),
        directory: reader.read("journal.directory", values::path),
    };
    if !Address::fits(&own_socket) && otlp.listen.contains(&USUAL_PORTS[1].into()) {
        let path = own_socket.display();
        reader.warnings.push(format!("otlp.listen has no socket: {path} is longer than the system allows for one"));
    }
    if otlp.token.is_none()
        && let Some(address) = otlp.ports().find(|address| !address.ip().is_loopback())
    {
        let warning = format!("otlp.listen has {address}: whoever reaches it can write to the runs; set otlp.token");
        reader.warnings.push(warning);
    }
    let process = process::Config {
        max_wait: reader.read("process.max_wait", |v| values::duration(v, &(Duration::ZERO..=HOUR))),
    };
    let mut parse = parse(reader);
    let recorder = recorder(reader);
    let redact = redact::Config {
        builtin: reader.read("redact.builtin", values::truth),
        patterns: reader.read("redact.patterns", patterns),
    };
    let batch = batch::Config {
        max_bytes: bytes(reader, "batch.max_bytes", 16 * KIB, 16 * MIB),
        linger: reader.read("batch.linger", |v| values::duration(v, &(MILLISECOND..=MINUTE))),
    };
    let queue = queue(reader);
    let memory_bytes = bytes(reader, "memory.max_bytes", MIB, GIB);
    let export = export(reader, standard);
    parse.are_gauges_sent = export.is_some();
    if let Some(address) = export.as_ref().and_then(|export| ending_at(&otlp, &export.endpoint)) {
        let problem = format!("has {address}, where logs are exported to: they would go round in a circle");
        reader.reject("otlp.listen", Rejected::new(problem, "use another port, or set export.endpoint"));
    }
    let store_kept = reader.read("store.keep", values::switch);
    if store_kept == Switch::Off && export.is_none() {
        let remedy = "set export.endpoint, or leave store.keep at auto";
        reader.reject("store.keep", Rejected::new("leaves no place for the logs: nothing is exported either", remedy));
    }
    let retention = store::Retention {
        max_age: reader.read("store.max_age", |value| {
            values::unless_empty(value, |value| values::duration(value, &(HOUR..=100 * YEAR)))
        }),
        max_bytes: reader.read("store.max_bytes", |value| {
            values::unless_empty(value, |value| values::size(value, &(MIB..=1024 * 1024 * GIB)))
        }),
    };
    let serve = serve(reader);
    let grace = reader.read("stop.grace", |v| values::duration(v, &(Duration::ZERO..=HOUR)));
    let log = telemetry(reader, export.is_some());
    let exit_with = reader.read("exit_with", exit_with);
    if matches!(exit_with, Some(ExitWith::Container(_))) && docker.collect == Switch::Off {
        let remedy = "leave docker.collect at auto, or name a file or a process";
        reader.reject("exit_with", Rejected::new("cannot be asked for: docker.collect is off", remedy));
    }

    Settings {
        log,
        file,
        docker,
        kubernetes,
        otlp,
        journal,
        process,
        parse,
        recorder,
        redact,
        batch,
        queue,
        export,
        serve,
        level,
        logger_levels,
        run_id,
        experiment,
        state_dir,
        memory_bytes,
        store_kept,
        retention,
        grace,
        exit_with,
        resource_attributes: standard.resource_attributes.clone(),
        service_name: standard.service_name.clone(),
    }
}

fn bytes(reader: &mut Reader, key: &str, from: u64, to: u64) -> usize {
    let bytes = reader.read(key, |value| values::size(value, &(from..=to)));
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn rank_prefix(value: &Value) -> Result<parse::Prefixes, Rejected> {
    let remedy =
        "use auto, off, or what stands before the lines, such as \"[${role_name}${local_rank}]:\" or \"${rank}: \"";
    values::text(value).parse().map_err(|error: parse::UnusableTemplate| Rejected::new(error.to_string(), remedy))
}

fn level(value: &Value) -> Result<Severity, Rejected> {
    let accepted = "use one of: trace, debug, info, warn, error, fatal";
    values::text(value).trim().parse().map_err(|_| Rejected::new("is not a level", accepted))
}

fn logger_levels(value: &Value) -> Result<Vec<LoggerLevel>, Rejected> {
    let accepted = "write each as LOGGER=LEVEL, such as nccl=warn; levels are trace, debug, info, warn, error, fatal";
    let rejected = |error: UnusableLevel| Rejected::new(error.to_string(), accepted);
    values::list(value)?.iter().map(|text| text.parse().map_err(rejected)).collect()
}

fn run_id(value: &Value) -> Result<Option<RunId>, Rejected> {
    let text = values::text(value);
    if text.trim().is_empty() {
        return Ok(None);
    }
    let rejected = |_| Rejected::new("cannot be a run id", "use 1 to 256 characters without control characters");
    RunId::new(&text).map(Some).map_err(rejected)
}

fn exit_with(value: &Value) -> Result<Option<ExitWith>, Rejected> {
    let remedy = "write path:/FILE, pid:NUMBER or container:NAME";
    let rejected = |error: UnusableExitWith| Rejected::new(error.to_string(), remedy);
    values::optional(value)?.map(|text| text.parse().map_err(rejected)).transpose()
}

fn format(value: &Value) -> Result<Format, Rejected> {
    let words = [("auto", Format::Auto), ("plain", Format::Plain), ("docker", Format::Docker), ("cri", Format::Cri)];
    values::choice(value, "a format", &words)
}

fn state_dir(reader: &mut Reader) -> PathBuf {
    let faults = reader.faults.len();
    let found = reader.read("state_dir", values::path);
    if found.is_none() && reader.faults.len() == faults {
        let remedy = "set RUNLOG_STATE_DIR to a directory that runlog may write";
        reader.reject("state_dir", Rejected::new("is not set, and neither is $HOME", remedy));
    }
    found.unwrap_or_default()
}

fn parse(reader: &mut Reader) -> parse::Config {
    let max_line_bytes = bytes(reader, "parse.max_line_bytes", KIB, 16 * MIB);
    let rank_prefix = reader.read("parse.rank_prefix", rank_prefix);
    let progress_every = reader.read("parse.progress_every", |v| values::duration(v, &(MILLISECOND..=HOUR)));
    let is_folded = reader.read("parse.terminal", values::truth);
    let terminal = is_folded.then_some(parse::TerminalConfig { progress_every });
    let join = parse::join::Config {
        is_on: reader.read("parse.join", values::truth),
        wait: reader.read("parse.join_wait", |v| values::duration(v, &(10 * MILLISECOND..=HOUR))),
        max_bytes: bytes(reader, "parse.join_max_bytes", KIB, MIB),
    };
    let scalars = reader.read("parse.scalars", names);
    let gather = |value: &Value| values::duration(value, &(Duration::ZERO..=HOUR)).map(some_time);
    let alike = parse::AlikeConfig {
        repeats: reader.read("parse.repeats", gather),
        ranks: reader.read("parse.collapse_ranks", gather),
    };
    let silent_rank_after = reader.read("parse.silent_rank_after", gather);
    let lines_per_second = reader.read("parse.lines_per_second", |v| values::count(v, &(0..=1_000_000_000)));
    let lines_per_second = u32::try_from(lines_per_second).ok().and_then(NonZeroU32::new);
    parse::Config {
        max_line_bytes,
        rank_prefix,
        terminal,
        join,
        scalars,
        // Known with the destinations.
        are_gauges_sent: false,
        alike,
        silent_rank_after,
        lines_per_second,
    }
}

/// No time at all is `None`.
fn some_time(duration: Duration) -> Option<Duration> {
    Some(duration).filter(|duration| !duration.is_zero())
}

fn names(value: &Value) -> Result<Vec<glob::Pattern>, Rejected> {
    let pattern = |text: String| {
        let rejected = |error: glob::PatternError| {
            let problem = format!("holds {text}, which names no metrics: {}", error.msg);
            Rejected::new(problem, "write names such as loss, with *, ? and [a-z]: eval_*")
        };
        glob::Pattern::new(&text).map_err(rejected)
    };
    values::list(value)?.into_iter().map(pattern).collect()
}

fn recorder(reader: &mut Reader) -> Option<recorder::Config> {
    let is_on = reader.read("recorder.on", values::truth);
    let bytes = bytes(reader, "recorder.bytes", 256 * KIB, GIB);
    let span = reader.read("recorder.span", |v| values::duration(v, &(SECOND..=24 * HOUR)));
    is_on.then_some(recorder::Config { bytes, span })
}

fn patterns(value: &Value) -> Result<Vec<redact::Pattern>, Rejected> {
    let rejected = |error: redact::UnusablePattern| Rejected::new(format!("holds {error}"), redact::Pattern::ACCEPTED);
    values::list(value)?.iter().map(|text| text.parse().map_err(rejected)).collect()
}

fn queue(reader: &mut Reader) -> queue::Config {
    let max_bytes = reader.read("queue.max_bytes", |v| values::size(v, &(8 * MIB..=1024 * GIB)));
    let segment_bytes = reader.read("queue.segment_bytes", |v| values::size(v, &(MIB..=GIB)));
    // With fewer than two segments the one that is written to could never be given up.
    if segment_bytes > max_bytes / 2 {
        let remedy = format!("use at most half of queue.max_bytes, which is {}", values::format_size(max_bytes));
        reader.reject("queue.segment_bytes", Rejected::new("is too large", remedy));
    }
    let min_free_bytes = reader.read("queue.min_free", |v| values::size(v, &(0..=1024 * GIB)));
    let policies = [("group", SyncPolicy::Group), ("batch", SyncPolicy::Batch), ("never", SyncPolicy::Never)];
    let sync = reader.read("queue.sync", |v| values::choice(v, "a way to sync", &policies));
    let allow_network_fs = reader.read("queue.allow_network_fs", values::truth);
    queue::Config { max_bytes, segment_bytes, min_free_bytes, sync, allow_network_fs }
}

fn export(reader: &mut Reader, standard: &Standard) -> Option<export::Config> {
    let endpoint_text = reader.read("export.endpoint", values::word);
    let is_on = !matches!(endpoint_text.to_ascii_lowercase().as_str(), "" | "off");
    let origin = reader.origin("export.endpoint");
    if standard.is_disabled && is_on {
        reader.warnings.push(format!("OTEL_SDK_DISABLED is not obeyed: {origin} sets export.endpoint"));
    }

    let json_is_harmless = !is_on && reader.origin("export.protocol").is_foreign();
    let protocol = reader.read("export.protocol", |value| protocol(value, json_is_harmless));
    let words = [("gzip", Compression::Gzip), ("zstd", Compression::Zstd), ("none", Compression::None)];
    let compression = reader.read("export.compression", |value| values::choice(value, "a compression", &words));
    let headers = reader.read("export.headers", headers);
    let timeout = reader.read("export.timeout", |v| values::duration(v, &(MILLISECOND..=HOUR)));
    let max_request_bytes = bytes(reader, "export.max_request_bytes", 16 * KIB, 64 * MIB);
    let min_backoff = reader.read("export.min_backoff", |v| values::duration(v, &(10 * MILLISECOND..=HOUR)));
    let max_backoff = reader.read("export.max_backoff", |v| values::duration(v, &(10 * MILLISECOND..=24 * HOUR)));
    if max_backoff < min_backoff {
        let remedy = "use at least export.min_backoff";
        reader.reject("export.max_backoff", Rejected::new("is shorter than export.min_backoff", remedy));
    }
    let concurrency = reader.read("export.concurrency", |v| values::count(v, &(1..=8)));
    let bisect = reader.read("export.bisect", values::truth);
    let certificate = reader.read("export.certificate", values::path);
    let client_certificate = reader.read("export.client_certificate", values::path);
    let client_key = reader.read("export.client_key", values::path);
    let client_identity = match (client_certificate, client_key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => {
            let remedy = "set export.client_key as well";
            reader.reject("export.client_certificate", Rejected::new("has no key", remedy));
            None
        }
        (None, Some(_)) => {
            let remedy = "set export.client_certificate as well";
            reader.reject("export.client_key", Rejected::new("has no certificate", remedy));
            None
        }
    };

    if !is_on {
        return None;
    }
    let meaning = if origin == Origin::Variable(LOGS_ENDPOINT.to_owned()) { Meaning::Whole } else { Meaning::Base };
    // Only the standard's variables may leave the scheme out, since only they can say whether TLS is meant.
    let scheme =
        (protocol == Protocol::Grpc && origin.is_foreign()).then_some(if standard.insecure { "http" } else { "https" });
    match endpoint(&endpoint_text, protocol, meaning, scheme) {
        Err(rejected) => {
            reader.reject("export.endpoint", rejected);
            None
        }
        Ok(endpoint) => {
            reader.warnings.extend(mistaken_port(&endpoint, protocol));
            Some(export::Config {
                name: "default".to_owned(),
                endpoint,
                protocol,
                compression,
                headers,
                headers_file: None,
                timeout,
                max_request_bytes,
                min_backoff,
                max_backoff,
                concurrency,
                bisect,
                certificate,
                client_identity,
                proxy: standard.proxy.clone(),
            })
        }
    }
}

fn protocol(value: &Value, json_is_harmless: bool) -> Result<Protocol, Rejected> {
    if values::text(value).trim().eq_ignore_ascii_case("http/json") {
        if json_is_harmless {
            return Ok(Protocol::HttpProtobuf);
        }
        return Err(Rejected::new("is a protocol that runlog does not speak", "use one of: http/protobuf, grpc"));
    }
    values::choice(value, "a protocol", &[("http/protobuf", Protocol::HttpProtobuf), ("grpc", Protocol::Grpc)])
}

fn headers(value: &Value) -> Result<Headers, Rejected> {
    const WRITE: &str = "write each as name=value, with commas between them";
    let header = |(i, text): (usize, String)| {
        let entry = i + 1;
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Rejected::new(format!("has an entry, the number {entry}, without `=`"), WRITE))?;
        let name = HeaderName::from_bytes(name.trim().as_bytes())
            .map_err(|_| Rejected::new(format!("has an entry, the number {entry}, without a header's name"), WRITE))?;
        HeaderValue::from_str(value.trim()).map_err(|_| {
            Rejected::new(format!("has a value for {name} that cannot be sent in a header"), "use printable ASCII")
        })?;
        Ok((name.as_str().to_owned(), value.trim().to_owned()))
    };
    values::list(value)?.into_iter().enumerate().map(header).collect::<Result<_, _>>().map(Headers)
}

fn listen(value: &Value) -> Result<Option<SocketAddr>, Rejected> {
    let text = values::text(value);
    if text.trim().eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    let accepted = "use an IP address and a port such as 127.0.0.1:4319, or off";
    text.trim().parse().map(Some).map_err(|_| Rejected::new("is not an address to listen on", accepted))
}

/// What others can reach needs a token, or a word that it is meant so.
fn serve(reader: &mut Reader) -> serve::Config {
    let listen = reader.read("serve.listen", listen);
    let access = reader.read("serve.token", access);
    if access.is_none() && listen.is_some_and(|address: SocketAddr| !address.ip().is_loopback()) {
        let problem = "is reached from other machines, which could read and change all runs";
        let remedy = "set serve.token, or listen on 127.0.0.1; serve.token=none if something else keeps others away";
        reader.reject("serve.listen", Rejected::new(problem, remedy));
    }
    serve::Config { listen, access: access.unwrap_or(serve::Access::Open) }
}

fn access(value: &Value) -> Result<Option<serve::Access>, Rejected> {
    if values::text(value).trim().eq_ignore_ascii_case(NO_TOKEN) {
        return Ok(Some(serve::Access::Open));
    }
    Ok(token(value)?.map(serve::Access::Token))
}

fn token(value: &Value) -> Result<Option<otlp::Token>, Rejected> {
    const USE: &str = "use at least 16 printable characters of ASCII without spaces";
    let Some(text) = values::optional(value)? else { return Ok(None) };
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Rejected::new("cannot be sent in a header", USE));
    }
    if text.len() < 16 {
        return Err(Rejected::new("is too short to be a secret", USE));
    }
    Ok(Some(otlp::Token::new(text)))
}

fn receiver_tls(reader: &mut Reader) -> Option<otlp::Files> {
    match (reader.read("otlp.certificate", values::path), reader.read("otlp.key", values::path)) {
        (Some(certificate), Some(key)) => Some(otlp::Files { certificate, key }),
        (None, None) => None,
        (Some(_), None) => {
            reader.reject("otlp.certificate", Rejected::new("has no key", "set otlp.key as well"));
            None
        }
        (None, Some(_)) => {
            reader.reject("otlp.key", Rejected::new("has no certificate", "set otlp.certificate as well"));
            None
        }
    }
}

fn receivers(value: &Value, own_socket: &Path) -> Result<Vec<Address>, Rejected> {
    const ACCEPTED: &str = "use IP addresses and ports such as 127.0.0.1:4318, or unix:/path, or on, or off";
    let mut addresses = Vec::new();
    for text in values::list(value)? {
        if let Some(path) = text.strip_prefix("unix:") {
            addresses.push(socket_address(&text, Path::new(path))?);
            continue;
        }
        match text.to_ascii_lowercase().as_str() {
            "off" => {}
            "on" => {
                addresses.extend(USUAL_PORTS.map(Address::from));
                addresses.extend(Address::fits(own_socket).then(|| Address::Socket(own_socket.to_owned())));
            }
            _ => {
                let address = text.parse::<SocketAddr>().map_err(|_| {
                    Rejected::new(format!("holds {text}, which is not an address to listen on"), ACCEPTED)
                })?;
                addresses.push(address.into());
            }
        }
    }
    Ok(addresses)
}

fn socket_address(text: &str, path: &Path) -> Result<Address, Rejected> {
    if !path.is_absolute() || path.file_name().is_none() {
        let problem = format!("holds {text}, which is not the path of a socket");
        return Err(Rejected::new(problem, "write unix:/path/to/otlp.sock"));
    }
    if !Address::fits(path) {
        let problem = format!("holds {text}, whose path is longer than the system allows for a socket");
        return Err(Rejected::new(problem, "use a path of at most 107 bytes"));
    }
    Ok(Address::Socket(path.to_owned()))
}

/// The port among these that the endpoint names, as far as its name tells.
fn ending_at(otlp: &otlp::Config, endpoint: &url::Url) -> Option<SocketAddr> {
    let port = endpoint.port_or_known_default()?;
    let named = match endpoint.host()? {
        url::Host::Domain("localhost") => IpAddr::from(Ipv4Addr::LOCALHOST),
        url::Host::Domain(_) => return None,
        url::Host::Ipv4(ip) => ip.into(),
        url::Host::Ipv6(ip) => ip.into(),
    };
    let is_here = |ip: IpAddr| ip == named || (named.is_loopback() && (ip.is_loopback() || ip.is_unspecified()));
    otlp.ports().find(|address| address.port() == port && is_here(address.ip()))
}

fn telemetry(reader: &mut Reader, is_exported: bool) -> telemetry::Config {
    let levels = [("trace", "trace"), ("debug", "debug"), ("info", "info"), ("warn", "warn"), ("error", "error")];
    let formats =
        [("auto", telemetry::Format::Auto), ("text", telemetry::Format::Text), ("json", telemetry::Format::Json)];
    let level = reader.read("log.level", |value| values::choice(value, "a level", &levels)).to_owned();
    let format = reader.read("log.format", |value| values::choice(value, "a format", &formats));
    let is_sent = reader.read("telemetry.otlp", values::truth);
    let interval = reader.read("telemetry.interval", |v| values::duration(v, &(SECOND..=24 * HOUR)));
    if is_sent && !is_exported {
        reader.warnings.push("telemetry.otlp sends nothing: export.endpoint is not set".to_owned());
    }
    telemetry::Config { level, format, otlp_interval: is_sent.then_some(interval) }
}
