//! OTLP's JSON, written as protobuf while it is read: no structs, which would take many times the memory of their text.
//!
//! Source: OTLP specification 1.11.0, "JSON Protobuf Encoding". Unknown fields are passed over, `null` is nothing, numbers
//! of 64 bits may be text, and ids are hex.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::record::Signal;

use super::{
    schema::{self, Field, Kind, Message},
    split::close_message,
    write::{PADDED, put_varint},
};

const FIXED64: u8 = 1;
const LENGTH: u8 = 2;
const FIXED32: u8 = 5;

/// Why text is no request.
#[derive(Debug, thiserror::Error)]
pub enum NoRequest {
    /// It is not JSON, or not the message that it should be.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// As protobuf it would be larger than what is allowed.
    #[error("it is larger than {0} bytes as protobuf")]
    TooLarge(usize),
}

/// The request of a signal, of at most `max_bytes` as protobuf.
///
/// # Errors
/// See [`NoRequest`].
pub fn from_json(signal: Signal, text: &[u8], max_bytes: usize) -> Result<Vec<u8>, NoRequest> {
    let mut out = Out { bytes: Vec::new(), max_bytes };
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = Fields { out: &mut out, message: schema::request(signal) }.deserialize(&mut reader);
    let read = read.and_then(|()| reader.end());
    match read {
        _ if out.is_full() => Err(NoRequest::TooLarge(max_bytes)),
        Ok(()) => Ok(out.bytes),
        Err(fault) => Err(fault.into()),
    }
}

struct Out {
    bytes: Vec<u8>,
    max_bytes: usize,
}

impl Out {
    fn is_full(&self) -> bool {
        self.bytes.len() > self.max_bytes
    }

    fn tag(&mut self, field: &Field, wire_type: u8) {
        put_varint(&mut self.bytes, u64::from(field.number << 3 | u32::from(wire_type)));
    }

    /// Begins a field whose length is filled in when it ends, and says where.
    fn open(&mut self, field: &Field) -> usize {
        self.tag(field, LENGTH);
        let length_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; PADDED]);
        length_at
    }

    fn bytes(&mut self, field: &Field, value: &[u8]) {
        self.tag(field, LENGTH);
        put_varint(&mut self.bytes, value.len() as u64);
        self.bytes.extend_from_slice(value);
    }
}

/// Reads an object as the fields of a message.
struct Fields<'a> {
    out: &'a mut Out,
    message: &'static Message,
}

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(field) = object.next_key_seed(Name(self.message))? {
            match field {
                Some(field) => object.next_value_seed(Value::new(self.out, field))?,
                None => _ = object.next_value::<IgnoredAny>()?,
            }
            if self.out.is_full() {
                return Err(A::Error::custom("too large"));
            }
        }
        Ok(())
    }
}

/// The field of that name, if there is one.
struct Name(&'static Message);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.named(name))
    }
}

/// Reads what stands under a field's name.
struct Value<'a> {
    out: &'a mut Out,
    field: &'static Field,
    place: Place,
}

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Behind its name.
    Named,
    /// In the list of a repeated field.
    Listed,
    /// In the list of a repeated number, which has one tag for all.
    Packed,
}

impl<'a> Value<'a> {
    const fn new(out: &'a mut Out, field: &'static Field) -> Self {
        Self { out, field, place: Place::Named }
    }

    fn fixed64(self, value: u64) {
        if self.place != Place::Packed {
            self.out.tag(self.field, FIXED64);
        }
        self.out.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn varint(self, value: u64) {
        if self.place != Place::Packed {
            self.out.tag(self.field, 0);
        }
        put_varint(&mut self.out.bytes, value);
    }

    fn whole<E: Error>(self, value: i128) -> Result<(), E> {
        let too_large = || E::custom(format_args!("{} is too large a number", self.field.name));
        let signed = i64::try_from(value);
        match self.field.kind {
            Kind::Fixed64 => {
                let value = u64::try_from(value).map_err(|_| too_large())?;
                self.fixed64(value);
            }
            Kind::SignedFixed64 => {
                let value = signed.map_err(|_| too_large())?;
                self.fixed64(value.cast_unsigned());
            }
            // A negative number is written as that of 64 bits with the same bits.
            Kind::Int => {
                let value =
                    signed.map(i64::cast_unsigned).or_else(|_| u64::try_from(value)).map_err(|_| too_large())?;
                self.varint(value);
            }
            Kind::Zigzag => {
                let value = signed.map_err(|_| too_large())?;
                self.varint((value << 1 ^ value >> 63).cast_unsigned());
            }
            Kind::Fixed32 => {
                let value = u32::try_from(value).map_err(|_| too_large())?;
                self.out.tag(self.field, FIXED32);
                self.out.bytes.extend_from_slice(&value.to_le_bytes());
            }
            // JSON knows no difference.
            Kind::Double => self.fixed64((value as f64).to_bits()),
            Kind::Text | Kind::Bytes | Kind::Id | Kind::Bool | Kind::Nested(_) => return Err(self.misplaced()),
        }
        Ok(())
    }

    fn misplaced<E: Error>(&self) -> E {
        E::custom(format_args!("{} does not hold what it should", self.field.name))
    }

    /// A repeated field stands in a list, any other does not.
    fn check_place<E: Error>(&self) -> Result<(), E> {
        if self.field.is_repeated == (self.place == Place::Named) { Err(self.misplaced()) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what {} holds", self.field.name)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.check_place()?;
        match self.field.kind {
            Kind::Bool => self.varint(u64::from(value)),
            _ => return Err(self.misplaced()),
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.check_place()?;
        self.whole(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.check_place()?;
        self.whole(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.check_place()?;
        match self.field.kind {
            Kind::Double => self.fixed64(value.to_bits()),
            _ => return Err(self.misplaced()),
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.check_place()?;
        match self.field.kind {
            Kind::Text => self.out.bytes(self.field, value.as_bytes()),
            Kind::Bytes => {
                let bytes = STANDARD.decode(value).map_err(|_| self.misplaced::<E>())?;
                self.out.bytes(self.field, &bytes);
            }
            Kind::Id => {
                let bytes = from_hex(value).ok_or_else(|| self.misplaced::<E>())?;
                self.out.bytes(self.field, &bytes);
            }
            Kind::Double => {
                // With "NaN", "Infinity" and "-Infinity" among them.
                let value: f64 = value.parse().map_err(|_| self.misplaced::<E>())?;
                self.fixed64(value.to_bits());
            }
            Kind::Bool | Kind::Nested(_) => return Err(self.misplaced()),
            Kind::Int | Kind::Zigzag | Kind::Fixed32 | Kind::Fixed64 | Kind::SignedFixed64 => {
                let value: i128 = value.parse().map_err(|_| self.misplaced::<E>())?;
                return self.whole(value);
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<(), A::Error> {
        self.check_place()?;
        let Kind::Nested(message) = self.field.kind else { return Err(self.misplaced()) };
        let length_at = self.out.open(self.field);
        Fields { out: &mut *self.out, message }.visit_map(object)?;
        close_message(&mut self.out.bytes, Some(length_at));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if !self.field.is_repeated || self.place != Place::Named {
            return Err(self.misplaced());
        }
        let Self { out, field, .. } = self;
        let is_packed = matches!(field.kind, Kind::Int | Kind::Fixed64 | Kind::Double);
        let place = if is_packed { Place::Packed } else { Place::Listed };
        let length_at = is_packed.then(|| out.open(field));
        while list.next_element_seed(Value { out: &mut *out, field, place })?.is_some() {
            if out.is_full() {
                return Err(A::Error::custom("too large"));
            }
        }
        close_message(&mut out.bytes, length_at);
        Ok(())
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8]| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|two| pair(two)).collect()).flatten()
}

#[cfg(test)]
mod tests;
