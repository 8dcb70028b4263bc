//! Why a call, or an entry of it, is not taken.

use crate::{
    receive::Refusal,
    store::{FileError, FindError, NoDigest, ReadError},
};

/// The reason in one word, for programs. `docs/run-api.md` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is not JSON, or a field has a wrong type.
    Malformed,
    /// A value that cannot be used.
    Invalid,
    /// The bytes of a file are not those of its digest.
    WrongDigest,
    /// Nobody has started the run.
    UnknownRun,
    /// The run has no such file, or nobody has sent it.
    UnknownFile,
    /// Nothing is stored here.
    NoStore,
    /// The run has ended.
    RunEnded,
    /// The run has not ended.
    NotEnded,
    /// A piece of a file does not go on with what is held.
    WrongRange,
    /// Several runs are meant.
    Ambiguous,
    /// More than is taken.
    TooLarge,
    /// There is no room now, or it took too long.
    Busy,
    /// It did not work, and will not.
    Failed,
}

impl Reason {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "MALFORMED",
            Self::Invalid => "INVALID",
            Self::WrongDigest => "WRONG_DIGEST",
            Self::UnknownRun => "UNKNOWN_RUN",
            Self::UnknownFile => "UNKNOWN_FILE",
            Self::NoStore => "NO_STORE",
            Self::RunEnded => "RUN_ENDED",
            Self::NotEnded => "NOT_ENDED",
            Self::WrongRange => "WRONG_RANGE",
            Self::Ambiguous => "AMBIGUOUS",
            Self::TooLarge => "TOO_LARGE",
            Self::Busy => "BUSY",
            Self::Failed => "FAILED",
        }
    }
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// The reason.
    pub reason: Reason,
    /// The field, such as `entries[3].scalar.name`; empty if it is none.
    pub field: String,
    /// One sentence.
    pub message: String,
    /// What would be right; empty if nothing would.
    pub accepted: String,
}

impl Problem {
    /// A problem with no field in particular.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, field: String::new(), message: message.into(), accepted: String::new() }
    }

    /// A value that cannot be used.
    pub fn invalid(field: &str, message: impl Into<String>, accepted: &str) -> Self {
        Self::new(Reason::Invalid, message).at(field).instead(accepted)
    }

    /// The same, of that field.
    #[must_use]
    pub fn at(self, field: &str) -> Self {
        Self { field: field.to_owned(), ..self }
    }

    /// The same, with what would be right.
    #[must_use]
    pub fn instead(self, accepted: &str) -> Self {
        Self { accepted: accepted.to_owned(), ..self }
    }

    pub(super) fn busy() -> Self {
        Self::new(Reason::Busy, "it cannot be taken at the moment, send it again")
    }

    pub(super) fn no_store() -> Self {
        Self::new(Reason::NoStore, "nothing is stored here: what runs log is exported, look for it there")
    }

    pub(super) fn unknown_run(id: &str) -> Self {
        let message = format!("no run {id:?} is known here");
        Self::new(Reason::UnknownRun, message)
            .at("run_id")
            .instead("the whole id of a run that was started; `runlog runs` lists them")
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let reason = match refusal {
            Refusal::Busy | Refusal::TooSlow => return Self::busy(),
            Refusal::TooLarge { .. } | Refusal::Crowded(_) => Reason::TooLarge,
            _ => Reason::Failed,
        };
        Self::new(reason, refusal.to_string())
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        tracing::warn!(error = %error, cause = std::error::Error::source(&error), "the store could not be read");
        Self::new(Reason::Failed, error.to_string())
    }
}

impl From<FindError> for Problem {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Unknown(_) => Self::new(Reason::UnknownRun, error.to_string()).at("run_id"),
            FindError::Ambiguous { .. } => Self::new(Reason::Ambiguous, error.to_string()).at("run_id"),
            FindError::Read(fault) => fault.into(),
        }
    }
}

impl From<NoDigest> for Problem {
    fn from(fault: NoDigest) -> Self {
        Self::invalid("sha256", fault.to_string(), "64 hexadecimal digits")
    }
}

impl From<FileError> for Problem {
    fn from(fault: FileError) -> Self {
        match fault {
            FileError::WrongRange { held, .. } => Self::new(Reason::WrongRange, fault.to_string())
                .at("content-range")
                .instead(&format!("from byte {held}")),
            FileError::WrongDigest { .. } => Self::new(Reason::WrongDigest, fault.to_string()).at("sha256"),
            FileError::Busy => Self::new(Reason::Busy, fault.to_string()),
            FileError::Io { ref source, .. } => {
                tracing::warn!(error = %fault, cause = %source, "a file could not be taken");
                Self::busy()
            }
        }
    }
}
