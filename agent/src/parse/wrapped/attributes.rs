//! Record attributes that what is wrapped around a line states.

use crate::record::{
    Lane,
    wire::{Value, record_attribute},
};

/// Encoded attributes for each lane. They are the same for almost all lines, so they are kept from line to line.
#[derive(Debug)]
pub struct Attributes {
    lanes: [Vec<u8>; Lane::COUNT],
    odd: Vec<u8>,
    /// The object of Docker's own attributes that stands in them.
    attrs: Vec<u8>,
}

impl Attributes {
    /// Without attributes of Docker's.
    pub fn new() -> Self {
        let mut odd = Vec::new();
        record_attribute(&mut odd, "runlog.parse_error", Value::String("not wrapped as a container runtime does"));
        let mut attributes = Self { lanes: Default::default(), odd, attrs: Vec::new() };
        attributes.encode();
        attributes
    }

    /// The attributes of a line in that lane.
    pub fn of(&self, lane: Lane) -> &[u8] {
        &self.lanes[lane as usize]
    }

    /// The attributes of a line that has this object of Docker's attributes.
    pub fn with(&mut self, lane: Lane, attrs: &[u8]) -> &[u8] {
        if self.attrs != attrs {
            attrs.clone_into(&mut self.attrs);
            self.encode();
        }
        self.of(lane)
    }

    /// The attributes of a line that should have been wrapped.
    pub fn odd(&self) -> &[u8] {
        &self.odd
    }

    fn encode(&mut self) {
        let attrs: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&self.attrs).unwrap_or_default();
        for (lane, iostream) in [(Lane::Stdout, "stdout"), (Lane::Stderr, "stderr")] {
            let encoded = &mut self.lanes[lane as usize];
            encoded.clear();
            record_attribute(encoded, "log.iostream", Value::String(iostream));
            for (name, value) in &attrs {
                let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
                record_attribute(encoded, &format!("runlog.docker.attrs.{name}"), Value::String(&text));
            }
        }
    }
}
