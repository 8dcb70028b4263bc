//! The secret that a client has to show.

use std::fmt;

use hyper::{
    HeaderMap,
    header::{AUTHORIZATION, HeaderValue},
};

/// A bearer token. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token that has that text.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// What a request shows in `Authorization`. `None` if the text cannot stand in a header.
    #[must_use]
    pub fn to_show(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Whether a request shows it: `Authorization: Bearer <token>`.
    #[must_use]
    pub fn is_shown(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
        let Some((scheme, shown)) = value.split_at_checked("Bearer ".len()) else { return false };
        scheme.eq_ignore_ascii_case(b"Bearer ") && is_same(shown, self.0.as_bytes())
    }
}

/// Looks at every byte, so that the time it takes does not tell how many of them were right.
fn is_same(shown: &[u8], token: &[u8]) -> bool {
    let differing = shown.iter().zip(token).fold(0, |differing, (a, b)| differing | (a ^ b));
    shown.len() == token.len() && differing == 0
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h19_only_the_whole_token_opens() {
        let token = Token::new("secret".to_owned());
        for (value, opens) in [
            ("Bearer secret", true),
            ("bearer secret", true),
            ("Bearer secre", false),
            ("Bearer secrets", false),
            ("Bearer Secret", false),
            ("Bearer ", false),
            ("Basic secret", false),
            ("secret", false),
            ("", false),
        ] {
            let headers = [(AUTHORIZATION, value.parse().unwrap())].into_iter().collect();
            assert_eq!(token.is_shown(&headers), opens, "{value:?}");
        }
        assert!(!token.is_shown(&HeaderMap::new()));
        assert!(token.is_shown(&[(AUTHORIZATION, token.to_show().unwrap())].into_iter().collect()));
        assert!(!format!("{token:?}").contains("secret"));
    }
}
