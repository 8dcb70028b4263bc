//! What an entry of the journal says. Source for the fields: systemd.journal-fields(7).

use crate::record::{
    Severity, UnixNanos,
    wire::{Value, record_attribute},
};

use super::{cursor::Cursor, export::Fields};

/// The fields that journalctl is asked for. It always gives `__CURSOR` and the times.
pub(super) const FIELDS: [&str; 26] = [
    "MESSAGE",
    "MESSAGE_ID",
    "PRIORITY",
    "SYSLOG_IDENTIFIER",
    "LOGGER",
    "CODE_FILE",
    "CODE_LINE",
    "CODE_FUNC",
    "TID",
    "THREAD_NAME",
    "N_DROPPED",
    "UNIT",
    "COREDUMP_UNIT",
    "OBJECT_SYSTEMD_UNIT",
    "OBJECT_SYSTEMD_USER_UNIT",
    RUN_ID,
    "CONTAINER_ID_FULL",
    "CONTAINER_NAME",
    "_PID",
    "_UID",
    "_COMM",
    "_TRANSPORT",
    "_SYSTEMD_UNIT",
    "_SYSTEMD_USER_UNIT",
    "_SYSTEMD_INVOCATION_ID",
    "SYSLOG_PID",
];

/// The run of an entry: `LogExtraFields=RUNLOG_RUN_ID=...` in a unit, `--log-opt env=RUNLOG_RUN_ID` of a container.
const RUN_ID: &str = "RUNLOG_RUN_ID";

/// `SD_MESSAGE_JOURNAL_DROPPED`: journald left out what came too fast.
const DROPPED: &str = "a596d6fe7bfa4994828e72309e95d61e";
/// `SD_MESSAGE_COREDUMP`: a process crashed.
const COREDUMP: &str = "fc2e22bc6ee647b6b90729ab34a250b1";

/// The levels of syslog(3) by their numbers, as the OpenTelemetry log data model maps them, appendix B.
const PRIORITIES: [(u8, &str); 8] = [
    (21, "emerg"),
    (19, "alert"),
    (18, "crit"),
    (17, "err"),
    (13, "warning"),
    (10, "notice"),
    (9, "info"),
    (5, "debug"),
];

/// What systemd puts down for a program's output if the program says nothing else.
const USUAL: &str = "6";

/// An entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct JournalEntry {
    pub cursor: Cursor,
    pub time: UnixNanos,
    /// Whose it is; `None` for the kernel and the like.
    pub unit: Option<String>,
    /// Who wrote it, for those that no unit has.
    pub identifier: String,
    /// The run that it says it belongs to.
    pub run_id: Option<String>,
    /// The container whose output it is, with its name.
    pub container: Option<Container>,
    /// The start of the unit that it belongs to.
    pub invocation_id: Option<String>,
    /// How many entries of the unit journald left out before it, if it tells that.
    pub dropped: Option<u64>,
    pub level: Option<(Severity, &'static str)>,
    pub logger: String,
    pub text: Vec<u8>,
    /// Bytes that were cut off.
    pub cut_bytes: u64,
    /// Record attributes, encoded.
    pub attributes: Vec<u8>,
}

/// A container of an engine that logs to the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Container {
    pub id: String,
    pub name: String,
}

impl JournalEntry {
    /// Reads the fields. `None` without a cursor, by which alone it could be found again.
    pub(super) fn of(mut fields: Fields) -> Option<Self> {
        let cursor = Cursor::new(fields.text("__CURSOR")?.to_owned());
        let micros: u64 = fields.text("__REALTIME_TIMESTAMP").and_then(|text| text.parse().ok()).unwrap_or(0);
        let owned = |name| fields.text(name).map(str::to_owned);
        let id = owned("CONTAINER_ID_FULL");
        let container = id.map(|id| Container { id, name: owned("CONTAINER_NAME").unwrap_or_default() });
        let is_dropping = fields.text("MESSAGE_ID") == Some(DROPPED);
        let dropped = is_dropping.then(|| owned("N_DROPPED").or_else(|| number_in(&fields))?.parse().ok()).flatten();
        Some(Self {
            cursor,
            time: micros.saturating_mul(1_000),
            unit: unit(&fields, is_dropping),
            identifier: owned("SYSLOG_IDENTIFIER").or_else(|| owned("_COMM")).unwrap_or_default(),
            run_id: owned(RUN_ID),
            level: level(&fields, container.is_some()),
            container,
            invocation_id: owned("_SYSTEMD_INVOCATION_ID"),
            dropped,
            logger: owned("LOGGER").unwrap_or_default(),
            attributes: attributes(&fields),
            cut_bytes: fields.cut_bytes,
            text: fields.take("MESSAGE").unwrap_or_default(),
        })
    }
}

/// The unit that an entry is about: whose process wrote it, or, where systemd speaks of a unit, that one.
fn unit(fields: &Fields, is_dropping: bool) -> Option<String> {
    let of = |names: &[&str]| names.iter().find_map(|name| fields.text(name)).map(str::to_owned);
    let is_by_root = fields.text("_UID").is_none_or(|uid| uid == "0");
    let about = match fields.text("MESSAGE_ID") {
        Some(COREDUMP) if is_by_root => of(&["COREDUMP_UNIT"]),
        // Of a session's unit only the session's manager is named; the text has the same.
        _ if is_dropping => of(&["OBJECT_SYSTEMD_USER_UNIT", "OBJECT_SYSTEMD_UNIT"]).or_else(|| unit_in(fields)),
        _ if fields.text("_PID") == Some("1") => of(&["UNIT"]),
        _ => None,
    };
    about.or_else(|| of(&["_SYSTEMD_USER_UNIT", "_SYSTEMD_UNIT"]))
}

/// `Suppressed 12 messages from train.service`, of which older journalds give no number beside the text.
fn number_in(fields: &Fields) -> Option<String> {
    fields.text("MESSAGE")?.split(' ').nth(1).map(str::to_owned)
}

fn unit_in(fields: &Fields) -> Option<String> {
    fields.text("MESSAGE")?.rsplit(' ').next().map(str::to_owned)
}

fn level(fields: &Fields, is_of_container: bool) -> Option<(Severity, &'static str)> {
    let priority = fields.text("PRIORITY")?;
    // Of a container it says which output it was, and of a program's output nothing: what the text says is more.
    if is_of_container || fields.text("_TRANSPORT") == Some("stdout") && priority == USUAL {
        return None;
    }
    let (number, word) = PRIORITIES.get(priority.parse::<usize>().ok()?)?;
    Some((Severity::from_number(i32::from(*number)), word))
}

fn attributes(fields: &Fields) -> Vec<u8> {
    let mut encoded = Vec::new();
    for (field, key) in [
        ("SYSLOG_IDENTIFIER", "runlog.journal.identifier"),
        ("CODE_FILE", "code.file.path"),
        ("CODE_FUNC", "code.function.name"),
        ("THREAD_NAME", "thread.name"),
    ] {
        if let Some(text) = fields.text(field) {
            record_attribute(&mut encoded, key, Value::String(text));
        }
    }
    let number = |names: &[&str]| names.iter().find_map(|name| fields.text(name)?.parse::<i64>().ok());
    for (names, key) in
        [(&["_PID", "SYSLOG_PID"][..], "process.pid"), (&["TID"], "thread.id"), (&["CODE_LINE"], "code.line.number")]
    {
        if let Some(number) = number(names) {
            record_attribute(&mut encoded, key, Value::Int(number));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::journal::export::Decoder;

    type Given<'a> = &'a [(&'a str, &'a str)];

    fn entry(fields: Given<'_>) -> JournalEntry {
        let mut text = "__CURSOR=s=c;i=1;b=b;t=2\n__REALTIME_TIMESTAMP=5\n".to_owned();
        for (name, value) in fields {
            text += &format!("{name}={value}\n");
        }
        let mut decoder = Decoder::default();
        decoder.feed((text + "\n").as_bytes());
        JournalEntry::of(decoder.next().unwrap().unwrap()).unwrap()
    }

    #[test]
    fn an_entry_belongs_to_the_unit_that_it_is_about() {
        let crash = ("MESSAGE_ID", COREDUMP);
        let dropping = ("MESSAGE_ID", DROPPED);
        let journald = ("_SYSTEMD_UNIT", "systemd-journald.service");
        let message = ("MESSAGE", "Suppressed 12 messages from a.service");
        let cases: [(Given<'_>, Option<&str>, Option<u64>); 8] = [
            (&[("_SYSTEMD_UNIT", "a.service")], Some("a.service"), None),
            (&[("_SYSTEMD_UNIT", "user@1.service"), ("_SYSTEMD_USER_UNIT", "a.service")], Some("a.service"), None),
            (&[("_PID", "1"), ("_SYSTEMD_UNIT", "init.scope"), ("UNIT", "a.service")], Some("a.service"), None),
            // Whoever is not systemd may say so of anybody.
            (&[("_PID", "7"), ("_SYSTEMD_UNIT", "b.service"), ("UNIT", "a.service")], Some("b.service"), None),
            (&[crash, ("_UID", "0"), ("COREDUMP_UNIT", "a.service"), ("_SYSTEMD_UNIT", "d")], Some("a.service"), None),
            (&[dropping, journald, message], Some("a.service"), Some(12)),
            (
                &[dropping, journald, ("OBJECT_SYSTEMD_UNIT", "o.service"), ("N_DROPPED", "3"), message],
                Some("o.service"),
                Some(3),
            ),
            (&[("_TRANSPORT", "kernel")], None, None),
        ];
        for (fields, unit, dropped) in cases {
            let entry = entry(fields);
            assert_eq!((entry.unit.as_deref(), entry.dropped), (unit, dropped), "{fields:?}");
        }
    }

    #[test]
    fn priorities_are_levels_unless_they_say_nothing() {
        let stdout = ("_TRANSPORT", "stdout");
        let cases: [(Given<'_>, Option<(u8, &str)>); 7] = [
            (&[("PRIORITY", "0")], Some((21, "emerg"))),
            (&[("PRIORITY", "6"), ("_TRANSPORT", "syslog")], Some((9, "info"))),
            (&[("PRIORITY", "6"), stdout], None),
            (&[("PRIORITY", "7"), stdout], Some((5, "debug"))),
            (&[("PRIORITY", "3"), ("CONTAINER_ID_FULL", "c")], None),
            (&[("PRIORITY", "8")], None),
            (&[], None),
        ];
        for (fields, level) in cases {
            let found = entry(fields).level.map(|(severity, word)| (severity.number(), word));
            assert_eq!(found, level, "{fields:?}");
        }
        assert_eq!(entry(&[]).time, 5_000);
    }
}
