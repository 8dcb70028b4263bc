//! The words and letters that stand for levels.

use crate::record::Severity;

/// A level's word in capitals, as loggers print it.
pub(super) fn word(token: &[u8]) -> Option<Severity> {
    Some(match token {
        b"INFO" => Severity::INFO,
        b"DEBUG" => Severity::DEBUG,
        b"WARNING" => Severity::WARN,
        b"ERROR" => Severity::ERROR,
        [b'A'..=b'Z', _, _, ..] => return rarer_word(token),
        _ => return None,
    })
}

fn rarer_word(token: &[u8]) -> Option<Severity> {
    Some(match token {
        b"INF" => Severity::INFO,
        b"DEBU" | b"DEBG" | b"DBG" | b"VERBOSE" | b"FINE" => Severity::DEBUG,
        b"WARN" | b"WARNI" | b"WRN" => Severity::WARN,
        b"ERRO" | b"ERR" | b"SEVERE" | b"EXCEPTION" => Severity::ERROR,
        b"CRITICAL" | b"CRITI" | b"CRIT" | b"FATAL" | b"FATA" | b"FTL" | b"PANIC" | b"EMERGENCY" | b"ABORT" => {
            Severity::FATAL
        }
        b"TRACE" | b"TRAC" | b"TRC" | b"FINER" | b"FINEST" => Severity::TRACE,
        b"NOTICE" => Severity::from_number(10),
        b"SUCCESS" => Severity::from_number(12),
        // PostgreSQL's.
        [b'D', b'E', b'B', b'U', b'G', b'1'..=b'5'] => Severity::DEBUG,
        _ => return None,
    })
}

/// A level's word in any case, for places where only a level can stand.
pub(super) fn word_any_case(token: &[u8]) -> Option<Severity> {
    let mut upper = [0; 12];
    let upper = upper.get_mut(..token.len())?;
    upper.copy_from_slice(token);
    upper.make_ascii_uppercase();
    word(upper).or(match &*upper {
        b"INFORMATION" => Some(Severity::INFO),
        b"ALERT" | b"EMERG" => Some(Severity::FATAL),
        _ => None,
    })
}

/// The level that a letter stands for in its place.
pub(super) const fn letter_level(letter: u8) -> Option<Severity> {
    Some(match letter {
        b'D' | b'V' => Severity::DEBUG,
        b'I' => Severity::INFO,
        b'W' => Severity::WARN,
        b'E' => Severity::ERROR,
        b'F' | b'C' => Severity::FATAL,
        _ => return None,
    })
}
