//! Prefixes of an operator's own, in the form of torchrun's `TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE`.

use std::{str::FromStr, sync::Arc};

use super::{Prefix, number, prefix};
use crate::parse::{Found, detect};

/// Which prefixes are taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prefixes {
    /// None.
    Off,
    /// Those that are known.
    Known,
    /// That of a template, and those that are known behind it and where there is none.
    Also(Arc<Template>),
}

impl Prefixes {
    /// What a line begins with.
    #[must_use]
    pub fn of<'a>(&self, line: &'a [u8]) -> Prefix<'a> {
        match self {
            Self::Off => Prefix::default(),
            Self::Known => prefix(line),
            Self::Also(template) => match template.before(line) {
                Some(outer) => outer.around(prefix(outer.after(line)), line),
                None => prefix(line),
            },
        }
    }

    /// How much of a line joins pass over to see what it is: also what is not taken off because they are off.
    #[must_use]
    #[inline]
    pub fn length(&self, line: &[u8]) -> usize {
        match self {
            Self::Off | Self::Known => prefix(line),
            Self::Also(_) => self.of(line),
        }
        .bytes
        .len()
    }

    /// The level that a line states, as [`detect`] finds it, behind what a template has put before it.
    #[must_use]
    #[inline]
    pub fn detect<'a>(&self, line: &'a [u8]) -> Option<Found<'a>> {
        match self {
            Self::Off | Self::Known => detect(line),
            Self::Also(template) => detect(template.before(line).map_or(line, |found| found.after(line))),
        }
    }
}

impl FromStr for Prefixes {
    type Err = UnusableTemplate;

    /// Reads `auto`, `off` or a template.
    fn from_str(text: &str) -> Result<Self, UnusableTemplate> {
        Ok(match text.trim() {
            word if word.eq_ignore_ascii_case("auto") => Self::Known,
            word if word.eq_ignore_ascii_case("off") => Self::Off,
            _ => Self::Also(Arc::new(text.parse()?)),
        })
    }
}

/// What a prefix is made of: `${rank}: ` or `[${role_name}${local_rank}]:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Rank,
    LocalRank,
    Role,
    /// A number that becomes no attribute.
    Number,
}

/// A text that is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableTemplate {
    /// Nothing in it can tell ranks apart.
    #[error("names no rank")]
    NoRank,
    /// A variable that nobody fills in.
    #[error("holds ${{{0}}}, which is not known")]
    Unknown(String),
    /// It could not be told where it ends.
    #[error("ends with a variable, so its end cannot be told")]
    NoEnd,
}

impl FromStr for Template {
    type Err = UnusableTemplate;

    fn from_str(text: &str) -> Result<Self, UnusableTemplate> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('$') {
            if !before.is_empty() {
                pieces.push(Piece::Text(before.into()));
            }
            let in_braces = after.strip_prefix('{').and_then(|after| after.split_once('}'));
            let (name, after) = in_braces.unwrap_or_else(|| {
                let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
                after.split_at(after.find(|character| !is_name(character)).unwrap_or(after.len()))
            });
            pieces.push(match name {
                "rank" => Piece::Rank,
                "local_rank" => Piece::LocalRank,
                "role_name" => Piece::Role,
                "group_rank" | "restart_count" => Piece::Number,
                _ => return Err(UnusableTemplate::Unknown(name.to_owned())),
            });
            rest = after;
        }
        if !pieces.iter().any(|piece| matches!(piece, Piece::Rank | Piece::LocalRank)) {
            return Err(UnusableTemplate::NoRank);
        }
        if rest.is_empty() {
            return Err(UnusableTemplate::NoEnd);
        }
        pieces.push(Piece::Text(rest.into()));
        Ok(Self(pieces))
    }
}

impl Template {
    /// The prefix that a line begins with, if it has this form.
    fn before<'a>(&self, line: &'a [u8]) -> Option<Prefix<'a>> {
        let (mut found, mut rest) = (Prefix::default(), line);
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => rest = rest.strip_prefix(text.as_slice())?,
                Piece::Role => {
                    let is_name = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-');
                    (found.role, rest) = rest.split_at(rest.iter().take_while(|byte| is_name(byte)).count());
                }
                Piece::Rank | Piece::LocalRank | Piece::Number => {
                    // srun makes the numbers of all ranks equally long.
                    let (value, after) = number(rest.trim_ascii_start())?;
                    match piece {
                        Piece::Rank => found.rank = Some(value),
                        Piece::LocalRank => found.local_rank = Some(value),
                        _ => {}
                    }
                    rest = after;
                }
            }
        }
        found.bytes = &line[..line.len() - rest.len()];
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_template_has_its_ranks_and_what_is_known_behind_it() {
        let cases = [
            ("${rank}: ", "3: [rank3]: x", "x", Some(3), None, ""),
            ("${rank}: ", " 12: x: 4", "x: 4", Some(12), None, ""),
            ("$rank: ", "[rank4]: x", "x", Some(4), None, ""),
            ("${rank}: ", "epoch 3: x", "epoch 3: x", None, None, ""),
            ("[${role_name}${local_rank}|${rank}]", "[ppo-actor1|9]x", "x", Some(9), Some(1), "ppo-actor"),
            (
                "[rank$rank-group_rank$group_rank-attempt$restart_count]:",
                "[rank8-group_rank1-attempt0]:x",
                "x",
                Some(8),
                None,
                "",
            ),
        ];
        for (template, line, after, rank, local_rank, role) in cases {
            let prefixes: Prefixes = template.parse().unwrap();
            let found = prefixes.of(line.as_bytes());
            assert_eq!(std::str::from_utf8(found.after(line.as_bytes())).unwrap(), after, "{line}");
            assert_eq!((found.rank, found.local_rank, found.role), (rank, local_rank, role.as_bytes()), "{line}");
        }
    }

    #[test]
    fn nothing_is_taken_off_where_it_is_off() {
        assert_eq!("off".parse::<Prefixes>().unwrap().of(b"[rank3]: x"), Prefix::default());
        assert_eq!("auto".parse::<Prefixes>().unwrap().of(b"[rank3]: x").rank, Some(3));
    }

    #[test]
    fn a_text_that_is_no_template_is_refused() {
        let refused = |text: &str| text.parse::<Prefixes>().unwrap_err().to_string();
        assert_eq!(refused("on"), "names no rank");
        assert_eq!(refused("[${role_name}]:"), "names no rank");
        assert_eq!(refused("[${host}]${rank}:"), "holds ${host}, which is not known");
        assert_eq!(refused("[rank${rank}"), "ends with a variable, so its end cannot be told");
    }
}
