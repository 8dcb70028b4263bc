//! Why a request is not taken, in the words of both protocols.

use std::{io, time::Duration};

use hyper::StatusCode;

use crate::record::wire::{Malformed, NoOutline};

/// How long a client is asked to wait that comes at a bad time. It adds to this as it sees fit.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a request is not taken. Nothing of it is kept, unless the reason is [`Refusal::Busy`]: then it may be.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The path is not one of OTLP's.
    #[error("there is nothing at this path; logs go to /v1/logs")]
    Path,
    /// The service is not one of OTLP's, or not one that is served.
    #[error("only opentelemetry.proto.collector.logs.v1.LogsService is served here")]
    Service,
    /// It is no POST.
    #[error("send it with POST")]
    Method,
    /// A browser sends it on behalf of some page.
    #[error("web pages may not send logs")]
    WebPage,
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
    #[error("the body is no ExportLogsServiceRequest: {0}")]
    Malformed(#[from] Malformed),
    /// It has too many parts.
    #[error("{0}; send it in parts")]
    Crowded(#[source] NoOutline),
    /// It is not JSON, or not the message it should be.
    #[error("the body is no ExportLogsServiceRequest: {0}")]
    Json(#[from] serde_json::Error),
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
            NoOutline::Crowded => Self::Crowded(fault),
        }
    }
}

impl Refusal {
    /// The status over HTTP. A client sends again what was answered with 503, and only that.
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::Path | Self::Service => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::WebPage => StatusCode::FORBIDDEN,
            Self::MediaType | Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } | Self::Crowded(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(_) | Self::Malformed(_) | Self::Json(_) | Self::Frame => StatusCode::BAD_REQUEST,
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
        match self {
            Self::Path | Self::Service | Self::Method | Self::MediaType | Self::Encoding => UNIMPLEMENTED,
            Self::WebPage => PERMISSION_DENIED,
            Self::TooLarge { .. } | Self::Crowded(_) => RESOURCE_EXHAUSTED,
            Self::Body(_) | Self::Malformed(_) | Self::Json(_) | Self::Frame => INVALID_ARGUMENT,
            Self::TooSlow | Self::Busy => UNAVAILABLE,
        }
    }

    /// When to send it again, if at all.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        (self.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER)
    }
}
