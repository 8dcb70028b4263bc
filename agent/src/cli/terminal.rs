//! Where the reading commands print.

use std::{
    borrow::Cow,
    env,
    io::{self, BufWriter, IsTerminal, Write},
};

use anyhow::Result;

/// What the output is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file or another program: bytes go there as they are.
    Stream,
    /// A terminal without colours.
    Terminal,
    /// A terminal with colours.
    ColorTerminal,
}

/// An output with its kind.
pub struct Output<'a> {
    /// Takes the text. Flushed when a command has nothing more to print for the moment.
    pub writer: Box<dyn Write + Send + 'a>,
    /// What it is connected to.
    pub kind: Kind,
}

/// Colours, by their number in "select graphic rendition" (ECMA-48).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Color {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Cyan = 36,
}

impl Output<'_> {
    /// This process's standard output. `NO_COLOR` and `TERM=dumb` turn colours off.
    #[must_use]
    pub fn stdout() -> Self {
        let stdout = io::stdout();
        let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let kind = match stdout.is_terminal() {
            false => Kind::Stream,
            true if is_dumb || no_color => Kind::Terminal,
            true => Kind::ColorTerminal,
        };
        Self { writer: Box::new(BufWriter::new(stdout)), kind }
    }

    /// Begins a picture that takes the place of the last one: on a terminal from its first line on.
    pub(super) fn begin_again(&mut self) -> io::Result<()> {
        match self.kind {
            Kind::Stream => writeln!(self.writer),
            // Cursor position and erase in display (ECMA-48).
            Kind::Terminal | Kind::ColorTerminal => write!(self.writer, "\x1b[H\x1b[2J"),
        }
    }

    /// Text from elsewhere, made harmless if a terminal would interpret it.
    pub(super) fn safe<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.kind == Kind::Stream { Cow::Borrowed(text) } else { harmless(text) }
    }

    /// Text in a colour, where there are colours.
    pub(super) fn colored<'t>(&self, text: &'t str, color: Option<Color>) -> Cow<'t, str> {
        match color {
            Some(color) if self.kind == Kind::ColorTerminal => format!("\x1b[{}m{text}\x1b[0m", color as u8).into(),
            _ => Cow::Borrowed(text),
        }
    }
}

/// Writes control characters out, except tab, newline and colours.
///
/// What a training printed could otherwise move the cursor, set the window's title or the clipboard.
fn harmless(text: &str) -> Cow<'_, str> {
    let is_harmful = |character: char| character.is_control() && !matches!(character, '\t' | '\n');
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    let (mut rest, mut is_colored) = (text, false);
    while let Some(character) = rest.chars().next() {
        if let Some(length) = color_length(rest) {
            safe.push_str(&rest[..length]);
            rest = &rest[length..];
            is_colored = true;
            continue;
        }
        if is_harmful(character) {
            // Control characters are U+0000 to U+001F and U+007F to U+009F.
            safe.push_str(&format!("\\x{:02x}", u32::from(character)));
        } else {
            safe.push(character);
        }
        rest = &rest[character.len_utf8()..];
    }
    if is_colored {
        safe.push_str("\x1b[0m");
    }
    Cow::Owned(safe)
}

/// The length of the colour sequence that the text begins with: `ESC [`, digits and separators, `m`.
fn color_length(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\x1b[")?;
    let end = parameters.find(|character: char| !matches!(character, '0'..='9' | ';' | ':'))?;
    (parameters[end..].starts_with('m') && end <= 32).then_some("\x1b[".len() + end + "m".len())
}

/// A reader that has seen enough, such as `head`, is no error.
///
/// # Errors
/// Any other one.
pub(super) fn unless_closed(result: Result<()>) -> Result<()> {
    match result {
        Err(error)
            if error.downcast_ref::<io::Error>().is_some_and(|fault| fault.kind() == io::ErrorKind::BrokenPipe) =>
        {
            Ok(())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_given_colours_but_no_other_orders() {
        let cases = [
            ("plain\ttext\nand é", "plain\ttext\nand é"),
            ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m\x1b[0m"),
            ("\x1b[2Jcleared", "\\x1b[2Jcleared"),
            ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
            ("\x1b]52;c;cGFzdGU=\x1b\\", "\\x1b]52;c;cGFzdGU=\\x1b\\"),
            ("50%\r100%", "50%\\x0d100%"),
            ("C1 \u{9b}2J", "C1 \\x9b2J"),
            ("\x1b[31", "\\x1b[31"),
            ("\x7f\0", "\\x7f\\x00"),
        ];
        for (text, safe) in cases {
            assert_eq!(harmless(text), safe, "{text:?}");
        }
    }
}
