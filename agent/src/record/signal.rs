//! The kinds of telemetry that OTLP carries.

/// What the records of a batch are. Logs are read and understood; metrics and traces are only passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Signal {
    /// `LogRecord`s.
    Logs = 0,
    /// `Metric`s, whose data points are what is counted.
    Metrics = 1,
    /// `Span`s.
    Traces = 2,
}

impl Signal {
    /// All.
    pub const ALL: [Self; 3] = [Self::Logs, Self::Metrics, Self::Traces];
    /// Those that are only passed on.
    pub const PASSED: [Self; 2] = [Self::Metrics, Self::Traces];

    /// The word in OTLP's paths, and in metrics and status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::Traces => "traces",
        }
    }
}
