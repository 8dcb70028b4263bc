//! Settings: composes each stage's `Config` from `default.toml`, a file, the environment and flags.

/// Something that can be left to runlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// runlog decides by what it finds.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}
