//! Why a request is not taken, in the words of both protocols.

use std::{io, time::Duration};

use hyper::StatusCode;

use crate::record::{
    Signal,
    wire::{Malformed, NoOutline},
};

/// How long a client is asked to wait that comes at a bad time. It adds to this as it sees fit.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a request is not taken. Nothing of it is kept, unless the reason is [`Refusal::Busy`]: then it may be.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The path is not one of OTLP's.
    #[error("there is nothing at this path; send to /v1/logs, /v1/metrics or /v1/traces")]
    Path,
    /// The service is not one of OTLP's, or not one that is served.
    #[error("only Export of OTLP's LogsService, MetricsService and TraceService is served here")]
    Service,
    /// There is no place for what the request holds.
    #[error("{} are not kept here: there is no backend that they could be passed on to", .0.as_str())]
    Unkept(Signal),
    /// It is no POST.
    #[error("send it with POST")]
    Method,
    /// A browser sends it on behalf of some page.
    #[error("web pages may not send anything here")]
    WebPage,
    /// It does not show the token.
    #[error("send the token of this receiver, as `authorization: Bearer <token>`")]
    Stranger,
    /// Neither protobuf nor JSON.
    #[error("send application/x-protobuf or application/json")]
    MediaType,
    /// A compression that is not known.
    #[error("send it as it is, or compressed with gzip or zstd")]
    Encoding,
    /// Too many bytes, before or after decompression.
    #[error("the request is larger than {limit} bytes")]
    TooLarge {
        /// The most that is taken.
        limit: usize,
    },
    /// The body has not come in time.
    #[error("the body came too slowly")]
    TooSlow,
    /// The body cannot be read or decompressed.
    #[error("the body cannot be read: {0}")]
    Body(#[source] io::Error),
    /// It is not protobuf, or not the message it should be.
    #[error("the body is no request of OTLP: {0}")]
    Malformed(#[from] Malformed),
    /// It has too many parts.
    #[error("{0}; send it in parts")]
    Crowded(#[source] NoOutline),
    /// It is not JSON, or not the message it should be.
    #[error("the body is no request with {}: {source}", signal.as_str())]
    Json {
        /// What it should hold.
        signal: Signal,
        /// Where it does not.
        source: serde_json::Error,
    },
    /// The frame around a message of gRPC is not as it should be.
    #[error("send one message in one frame of gRPC")]
    Frame,
    /// There is no room now, or it took too long to make the records durable.
    #[error("it cannot be taken at the moment, send it again")]
    Busy,
}

impl From<NoOutline> for Refusal {
    fn from(fault: NoOutline) -> Self {
        match fault {
            NoOutline::Malformed(malformed) => Self::Malformed(malformed),
            NoOutline::Crowded | NoOutline::Countless => Self::Crowded(fault),
        }
    }
}

impl Refusal {
    /// What is not there, said anew.
    pub(super) const fn unfound(&self) -> Self {
        if matches!(self, Self::Service) { Self::Service } else { Self::Path }
    }

    /// The reason in one word, for counters.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Path | Self::Service | Self::Method => "nothing_there",
            Self::Unkept(_) => "signal",
            Self::WebPage => "web_page",
            Self::Stranger => "token",
            Self::MediaType | Self::Encoding => "encoding",
            Self::TooLarge { .. } => "too_large",
            Self::Crowded(_) => "too_many",
            Self::TooSlow => "too_slow",
            Self::Body(_) | Self::Malformed(_) | Self::Json { .. } | Self::Frame => "malformed",
            Self::Busy => "busy",
        }
    }

    /// The status over HTTP. A client sends again what was answered with 503, and only that.
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::Path | Self::Service | Self::Unkept(_) => StatusCode::NOT_FOUND,
            Self::Stranger => StatusCode::UNAUTHORIZED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::WebPage => StatusCode::FORBIDDEN,
            Self::MediaType | Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } | Self::Crowded(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(_) | Self::Malformed(_) | Self::Json { .. } | Self::Frame => StatusCode::BAD_REQUEST,
            Self::TooSlow | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The status of gRPC. A client sends again what was answered with UNAVAILABLE, and only that.
    pub(super) const fn code(&self) -> i32 {
        const INVALID_ARGUMENT: i32 = 3;
        const PERMISSION_DENIED: i32 = 7;
        const RESOURCE_EXHAUSTED: i32 = 8;
        const UNIMPLEMENTED: i32 = 12;
        const UNAVAILABLE: i32 = 14;
        const UNAUTHENTICATED: i32 = 16;
        match self {
            Self::Path | Self::Service | Self::Unkept(_) => UNIMPLEMENTED,
            Self::Method | Self::MediaType | Self::Encoding => UNIMPLEMENTED,
            Self::Stranger => UNAUTHENTICATED,
            Self::WebPage => PERMISSION_DENIED,
            Self::TooLarge { .. } | Self::Crowded(_) => RESOURCE_EXHAUSTED,
            Self::Body(_) | Self::Malformed(_) | Self::Json { .. } | Self::Frame => INVALID_ARGUMENT,
            Self::TooSlow | Self::Busy => UNAVAILABLE,
        }
    }

    /// When to send it again, if at all.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        (self.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER)
    }
}
