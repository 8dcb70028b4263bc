//! Keys that can be told by their form: how they begin, what they are made of, how long they are.
//!
//! Sources: the issuers' pages on the formats of their keys, and what their scanners look for.

use std::ops::Range;

/// The form of a key.
#[derive(Debug)]
pub(super) struct Key {
    /// The name in the mask.
    pub(super) rule: &'static str,
    /// What it begins with, or holds.
    pub(super) anchor: &'static str,
    /// Where three bytes begin in it that are seldom elsewhere.
    pub(super) seldom_at: usize,
    body: Body,
}

/// What follows the anchor.
#[derive(Debug)]
enum Body {
    /// So many of these characters, at least and at most.
    Run(fn(u8) -> bool, usize, usize),
    /// The three parts of a JSON Web Token.
    Jwt,
    /// Three more characters stand before the anchor.
    AzureSecret,
    /// The signature of a query.
    Signature,
}

const ANY_LENGTH: usize = 512;

const fn run(
    rule: &'static str,
    anchor: &'static str,
    seldom_at: usize,
    of: fn(u8) -> bool,
    least: usize,
    most: usize,
) -> Key {
    Key { rule, anchor, seldom_at, body: Body::Run(of, least, most) }
}

/// In the order in which they are tried where several begin at one place.
pub(super) static KEYS: [Key; 37] = [
    run("aws-access-key", "AKIA", 0, upper, 16, 16),
    run("aws-access-key", "ASIA", 0, upper, 16, 16),
    run("gcp-key", "AIza", 0, word, 35, 35),
    run("gcp-token", "ya29.", 0, word, 20, ANY_LENGTH),
    run("gcp-client-secret", "GOCSPX-", 0, word, 28, 28),
    Key { rule: "azure-client-secret", anchor: "7Q~", seldom_at: 0, body: Body::AzureSecret },
    Key { rule: "azure-client-secret", anchor: "8Q~", seldom_at: 0, body: Body::AzureSecret },
    Key { rule: "azure-signature", anchor: "sig=", seldom_at: 1, body: Body::Signature },
    run("huggingface-token", "hf_", 0, alphanumeric, 30, 64),
    run("huggingface-token", "api_org_", 2, alphanumeric, 30, 64),
    run("anthropic-key", "sk-ant-", 0, word, 24, ANY_LENGTH),
    run("openai-key", "sk-", 0, word, 32, ANY_LENGTH),
    run("github-token", "ghp_", 1, alphanumeric, 36, 255),
    run("github-token", "gho_", 0, alphanumeric, 36, 255),
    run("github-token", "ghu_", 0, alphanumeric, 36, 255),
    run("github-token", "ghs_", 0, alphanumeric, 36, 255),
    run("github-token", "ghr_", 0, alphanumeric, 36, 255),
    run("github-token", "github_pat_", 5, word, 60, 255),
    run("gitlab-token", "glpat-", 0, dotted, 20, 255),
    run("gitlab-token", "gldt-", 0, dotted, 20, 255),
    run("gitlab-token", "glrt-", 2, dotted, 20, 255),
    run("gitlab-token", "glcbt-", 0, dotted, 20, 255),
    run("gitlab-token", "glptt-", 0, dotted, 20, 255),
    run("slack-token", "xoxb-", 0, word, 20, 255),
    run("slack-token", "xoxp-", 0, word, 20, 255),
    run("slack-token", "xoxe", 0, dotted, 20, 255),
    run("slack-token", "xapp-", 0, word, 20, 255),
    run("slack-webhook", "hooks.slack.com/services/", 5, path, 30, 255),
    run("wandb-key", "wandb_v1_", 5, word, 40, 255),
    run("wandb-key", "wandb login ", 3, alphanumeric, 40, 40),
    run("nvidia-key", "nvapi-", 3, word, 40, 255),
    run("groq-key", "gsk_", 0, alphanumeric, 40, 128),
    run("replicate-token", "r8_", 0, alphanumeric, 37, 37),
    run("pypi-token", "pypi-AgE", 4, word, 50, ANY_LENGTH),
    run("npm-token", "npm_", 1, alphanumeric, 36, 36),
    run("stripe-key", "sk_live_", 0, alphanumeric, 24, 255),
    Key { rule: "jwt", anchor: "eyJ", seldom_at: 0, body: Body::Jwt },
];

impl Key {
    /// The key whose anchor stands there.
    ///
    /// Nothing is read twice however many anchors there are: a key begins where a word does, and ends with it.
    pub(super) fn find(&self, text: &[u8], anchor_at: usize) -> Option<Range<usize>> {
        let behind = anchor_at + self.anchor.len();
        let at = match self.body {
            Body::Run(of, least, most) if is_free(text, anchor_at) => {
                let length = length_of(text, behind, of);
                (least..=most).contains(&length).then_some(anchor_at..behind + length)?
            }
            Body::Jwt if is_free(text, anchor_at) => anchor_at..jwt_end(text, anchor_at)?,
            Body::AzureSecret => {
                let start = anchor_at.checked_sub(3).filter(|start| is_free(text, *start))?;
                let end = behind + length_of(&text[..text.len().min(behind + 40)], behind, azure);
                let is_head = text[start..anchor_at].iter().all(|byte| azure(*byte));
                (is_head && (31..=34).contains(&(end - behind))).then_some(start..end)?
            }
            Body::Signature if anchor_at > 0 && b"?&;".contains(&text[anchor_at - 1]) => {
                let of = |byte: u8| byte.is_ascii_alphanumeric() || b"%+/=-_".contains(&byte);
                let length = length_of(text, behind, of);
                (40..=100).contains(&length).then_some(behind..behind + length)?
            }
            Body::Run(..) | Body::Jwt | Body::Signature => return None,
        };
        // `hf_xxxxxxxx` is how people write that they do not show it.
        (!is_uniform(&text[behind.max(at.start)..at.end])).then_some(at)
    }
}

/// Behind three parts with dots between them, of which two are encoded objects.
fn jwt_end(text: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    for part in 0..3 {
        if part > 0 {
            end += usize::from(text.get(end) == Some(&b'.'));
        }
        let length = length_of(text, end, word);
        if length < 10 || part < 2 && (!text[end..].starts_with(b"eyJ") || text.get(end + length) != Some(&b'.')) {
            return None;
        }
        end += length;
    }
    Some(end)
}

/// The rule of a text that is a key and nothing else.
pub(super) fn rule_of(text: &[u8]) -> Option<&'static str> {
    let is_it = |key: &&Key| text.starts_with(key.anchor.as_bytes()) && key.find(text, 0) == Some(0..text.len());
    KEYS.iter().find(is_it).map(|key| key.rule)
}

/// Whether what begins there is not the rest of a longer word.
pub(super) fn is_free(text: &[u8], at: usize) -> bool {
    let Some((before, rest)) = text[..at].split_last() else { return true };
    if !word(*before) {
        return true;
    }
    match (before, rest) {
        // A line's end or a tab in quoted text.
        (b'n' | b't' | b'r', [.., b'\\']) => true,
        // `=` and the like in a URL.
        (b'0'..=b'9' | b'A'..=b'F', [.., b'%', b'2' | b'3']) => true,
        // A colour.
        (b'm', _) => {
            let digits = rest.iter().rev().take(16).take_while(|byte| byte.is_ascii_digit() || **byte == b';').count();
            rest[..rest.len() - digits].ends_with(b"\x1b[")
        }
        _ => false,
    }
}

/// How many such characters stand there.
pub(super) fn length_of(text: &[u8], at: usize, of: impl Fn(u8) -> bool) -> usize {
    let length = text[at.min(text.len())..].iter().take_while(|byte| of(**byte)).count();
    #[cfg(test)]
    super::tests::count(length);
    length
}

/// Whether a text is made of hardly more than one character.
pub(super) fn is_uniform(text: &[u8]) -> bool {
    let mut seen = [false; 256];
    text.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    text.len() >= 8 && seen.iter().filter(|is_seen| **is_seen).count() <= 3
}

fn upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

pub(super) fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn dotted(byte: u8) -> bool {
    word(byte) || byte == b'.'
}

fn azure(byte: u8) -> bool {
    dotted(byte) || byte == b'~'
}

fn path(byte: u8) -> bool {
    word(byte) || byte == b'/'
}
