//! `docs/run-api-reference.md`: all calls and messages, as the `.proto` files have them.

use std::fmt::Write as _;

use prost::Message;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

use super::DESCRIPTORS;

/// Numbers of the fields of a file and of a message, by which the places of comments are told.
const MESSAGES: i32 = 4;
const SERVICES: i32 = 6;
const FIELDS: i32 = 2;
const METHODS: i32 = 2;

const HEAD: &str = "\
# The messages of the Run API

[The Run API](run-api.md) says what is sent where. This is what the messages hold, made from
[proto/runlog/v1](../proto/runlog/v1) by `RUNLOG_WRITE_DOCS=1 cargo test -p runlog-proto`. In JSON a field that is left out or
`null` has its default, numbers are numbers also with 64 bits, and `bytes` occur over gRPC alone.
";

fn reference() -> String {
    let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap().file;
    let mut text = HEAD.to_owned();
    for file in &files {
        for (place, service) in (0..).zip(&file.service) {
            write!(text, "\n## {}\n\n| call | request | answer | |\n|---|---|---|---|\n", service.name()).unwrap();
            for (number, method) in (0..).zip(&service.method) {
                let request = of_stream(method.client_streaming(), &link(method.input_type()));
                let answer = of_stream(method.server_streaming(), &link(method.output_type()));
                let said = cell(&comment(file, &[SERVICES, place, METHODS, number]));
                writeln!(text, "| `{}` | {request} | {answer} | {said} |", method.name()).unwrap();
            }
        }
    }
    let messages =
        files.iter().flat_map(|file| (0..).zip(&file.message_type).map(move |(place, of)| (file, place, of)));
    let mut messages: Vec<_> = messages.collect();
    messages.sort_by_key(|(_, _, message)| message.name().to_owned());
    for (file, place, message) in messages {
        write!(text, "\n## {}\n", message.name()).unwrap();
        let said = comment(file, &[MESSAGES, place]);
        if !said.is_empty() {
            write!(text, "\n{said}\n").unwrap();
        }
        if !message.field.is_empty() {
            text.push_str("\n| field | | |\n|---|---|---|\n");
        }
        for (number, field) in (0..).zip(&message.field) {
            let said = cell(&comment(file, &[MESSAGES, place, FIELDS, number]));
            writeln!(text, "| `{}` | {} | {said} |", field.name(), kind(message, field)).unwrap();
        }
    }
    text
}

/// What stands above the declaration at that place, without its slashes.
fn comment(file: &FileDescriptorProto, path: &[i32]) -> String {
    let places = file.source_code_info.iter().flat_map(|info| &info.location);
    let said =
        places.filter(|place| place.path == path).map(|place| place.leading_comments().trim()).collect::<String>();
    said.lines().map(str::trim).collect::<Vec<_>>().join("\n")
}

/// The same in one line of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn of_stream(is_stream: bool, name: &str) -> String {
    if is_stream { format!("stream of {name}") } else { name.to_owned() }
}

fn link(full_name: &str) -> String {
    let name = full_name.rsplit('.').next().unwrap_or_default();
    format!("[{name}](#{})", name.to_lowercase())
}

fn kind(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let plain = |field: &FieldDescriptorProto| match field.r#type() {
        Type::Message => link(field.type_name()),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    let entry = message.nested_type.iter().find(|entry| field.type_name().ends_with(&format!(".{}", entry.name())));
    match entry.and_then(|entry| entry.field.last()) {
        Some(value) => format!("map of {}", plain(value)),
        None if field.label() == Label::Repeated => format!("list of {}", plain(field)),
        None if field.proto3_optional() => format!("{}, or absent", plain(field)),
        None => plain(field),
    }
}

#[test]
fn the_committed_reference_is_the_one_made_from_the_proto_files() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/run-api-reference.md");
    let made = reference();
    if std::env::var_os("RUNLOG_WRITE_DOCS").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == made, "docs/run-api-reference.md is stale: RUNLOG_WRITE_DOCS=1 cargo test -p runlog-proto");
}
