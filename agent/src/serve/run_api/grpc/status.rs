//! Problems as statuses of gRPC: a `google.rpc.ErrorInfo` has the reason, with the field and what would be right as its
//! metadata.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    api::{Problem, Reason},
    serve::Declined,
};

/// Whose reasons they are.
const DOMAIN: &str = "runlog";

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        let code = match problem.reason {
            Reason::Malformed | Reason::Invalid | Reason::WrongDigest | Reason::Ambiguous => Code::InvalidArgument,
            Reason::UnknownRun | Reason::UnknownFile => Code::NotFound,
            Reason::NoStore | Reason::RunEnded | Reason::NotEnded | Reason::WrongRange => Code::FailedPrecondition,
            Reason::TooLarge => Code::ResourceExhausted,
            Reason::Busy => Code::Unavailable,
            Reason::Failed => Code::Internal,
        };
        let Problem { reason, field, message, accepted } = problem;
        refused(code, &message, reason.as_str(), &[("field", &field), ("accepted", &accepted)])
    }
}

impl From<Declined> for Status {
    fn from(declined: Declined) -> Self {
        let Declined { is_unknown, field, message, accepted } = declined;
        let (code, reason) = if is_unknown { (Code::NotFound, "UNKNOWN") } else { (Code::InvalidArgument, "INVALID") };
        refused(code, &message, reason, &[("field", field), ("accepted", &accepted)])
    }
}

/// A status with that reason. What is empty is not said.
pub(super) fn refused(code: Code, message: &str, reason: &str, said: &[(&str, &str)]) -> Status {
    let said = said.iter().filter(|(_, text)| !text.is_empty());
    let said: HashMap<_, _> = said.map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    Status::with_error_details(code, message, ErrorDetails::with_error_info(reason, DOMAIN, said))
}
