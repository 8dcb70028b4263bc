//! Numbers that a training prints beside their names: `loss=0.12 lr=3e-4 step=100`.
//!
//! | from | form |
//! |---|---|
//! | `print`, tqdm, Lightning | `loss=0.12, lr=3e-4`, `loss: 0.12` |
//! | Hugging Face, JSON | `{'loss': 0.5, 'epoch': 1.0}`, `{"loss": "0.5"}` |
//! | Keras | `accuracy: 0.9 - loss: 0.1` |
//! | XGBoost | `[0]`, a tab, `train-rmse:0.1` |
//! | PyTorch's examples | `Epoch: [0][10/391] Loss 6.9e+00 (6.8e+00) Acc@1 0.0` |
//!
//! Only names that somebody has asked for count, so words of prose need not be told from names. What is not plainly a
//! number is none: a time, a date, a version, a number with a unit or with commas in it.

use glob::{MatchOptions, Pattern};

/// How much of a line is looked through.
const LOOKED_AT: usize = 16 << 10;
/// How many numbers of one line count.
const MAX_SCALARS: usize = 64;
/// A longer name is none.
const MAX_NAME_BYTES: usize = 128;
/// How many spaces may stand before a number.
const MAX_SPACES: usize = 16;
/// What may be wrapped around a number.
const WRAPPED: [&[u8]; 5] = [b"tensor(", b"np.float64(", b"np.float32(", b"'", b"\""];

/// A number with its name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scalar<'a> {
    /// The name as it was printed.
    pub name: &'a str,
    /// The number; NaN and the infinities as well.
    pub value: f64,
    /// Where the name begins in the line.
    pub at: usize,
}

/// What a line says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scalars<'a> {
    /// The numbers in the order in which they stand.
    pub found: Vec<Scalar<'a>>,
    /// The step that all of them are of, if the line states one.
    pub step: Option<i64>,
}

/// How much a step is worth: where a line states several, the first of the most telling kind counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Global,
    Step,
    /// `[10/391]`, or `[10]` at the start of the line.
    Counted,
    Epoch,
}

/// Finds the numbers whose names are allowed, in any case. Nothing is allocated for a line without them.
#[must_use]
pub fn scalars<'a>(line: &'a [u8], allowed: &[Pattern]) -> Scalars<'a> {
    let line = &line[..line.len().min(LOOKED_AT)];
    let mut scalars = Scalars::default();
    let mut step: Option<(Kind, i64)> = None;
    let mut stated = |kind, number| step = Some(step.filter(|(known, _)| *known <= kind).unwrap_or((kind, number)));
    let mut at = 0;
    while at < line.len() && scalars.found.len() < MAX_SCALARS {
        if line[at] == b'[' {
            if let Some(count) = counted(&line[at + 1..], at == 0) {
                stated(Kind::Counted, count);
            }
            at += 1;
            continue;
        }
        let length = line[at..].iter().position(|byte| !OF_NAME[usize::from(*byte)]).unwrap_or(line.len() - at);
        let (text, behind) = (&line[at..at + length], at + length);
        if !is_name(text) {
            at += length.max(1);
            continue;
        }
        // Most words have no number behind them, which is seen sooner than anything else; of most numbers nobody asks how
        // much they are.
        let Some((number, rest)) = number_behind(&line[behind..]) else {
            at = behind;
            continue;
        };
        let is_ended = ends(rest);
        if let Some(kind) = step_kind(text)
            && (is_ended || rest.first() == Some(&b'/'))
            && let Some(count) = value(number).and_then(whole)
        {
            stated(kind, count);
        }
        if is_ended
            && let Some(name) = allowed_name(text, allowed)
            && let Some(value) = value(number)
        {
            scalars.found.push(Scalar { name, value, at });
        }
        at = line.len() - rest.len();
    }
    scalars.step = step.map(|(_, number)| number);
    scalars
}

/// The bytes of names.
const OF_NAME: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0_u8);
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'@' | b'#');
        byte += 1;
    }
    table
};

fn is_name(bytes: &[u8]) -> bool {
    bytes.len() <= MAX_NAME_BYTES && matches!(bytes.first(), Some(b'_' | b'a'..=b'z' | b'A'..=b'Z'))
}

/// The name, if somebody has asked for it.
fn allowed_name<'a>(text: &'a [u8], allowed: &[Pattern]) -> Option<&'a str> {
    let options = MatchOptions { case_sensitive: false, ..MatchOptions::new() };
    let first = text.first()?;
    // Most names begin otherwise, which takes no matching.
    let may_match = |pattern: &&Pattern| match pattern.as_str().as_bytes().first() {
        Some(b'*' | b'?' | b'[') => true,
        Some(byte) => byte.eq_ignore_ascii_case(first),
        None => false,
    };
    let mut likely = allowed.iter().filter(may_match).peekable();
    likely.peek()?;
    let name = std::str::from_utf8(text).ok()?;
    likely.any(|pattern| pattern.matches_with(name, options)).then_some(name)
}

fn step_kind(name: &[u8]) -> Option<Kind> {
    let is = |words: &[&str]| words.iter().any(|word| name.eq_ignore_ascii_case(word.as_bytes()));
    if is(&["global_step", "trainer/global_step"]) {
        Some(Kind::Global)
    } else if is(&["step", "iter", "iteration"]) {
        Some(Kind::Step)
    } else {
        is(&["epoch"]).then_some(Kind::Epoch)
    }
}

/// The number behind a name, and what stands behind that.
fn number_behind(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if !matches!(text.first(), Some(b'=' | b':' | b' ' | b'\t' | b'\'' | b'"')) {
        return None;
    }
    let unquoted = text.strip_prefix(b"'").or_else(|| text.strip_prefix(b"\""));
    let spaced = without_spaces(unquoted.unwrap_or(text));
    let text = match spaced.split_first() {
        Some((b'=' | b':', rest)) => without_spaces(rest),
        _ if unquoted.is_none() && spaced.len() < text.len() => spaced,
        _ => return None,
    };
    let wrapped = WRAPPED.iter().find_map(|start| text.strip_prefix(*start));
    number(wrapped.unwrap_or(text))
}

fn without_spaces(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take(MAX_SPACES).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &text[spaces..]
}

/// What is written as a number at the start, and what stands behind it.
fn number(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let sign = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_word = matches!(text.get(sign), Some(b'i' | b'I' | b'n' | b'N'));
    let word = ["infinity", "inf", "nan"].into_iter().filter(|_| is_word).find(|word| {
        text.get(sign..sign + word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word.as_bytes()))
    });
    let end = if let Some(word) = word {
        sign + word.len()
    } else {
        let mut end = sign + digits(sign);
        let mut count = end - sign;
        if text.get(end) == Some(&b'.') {
            let decimals = digits(end + 1);
            (end, count) = (end + 1 + decimals, count + decimals);
        }
        if count == 0 {
            return None;
        }
        if matches!(text.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits((end + 1 + sign).min(text.len()));
            end += if exponent == 0 { 0 } else { 1 + sign + exponent };
        }
        end
    };
    Some(text.split_at(end))
}

/// How much it is.
fn value(number: &[u8]) -> Option<f64> {
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// Whether a number can end before that.
fn ends(rest: &[u8]) -> bool {
    let is_digit = |place: usize| rest.get(place).is_some_and(u8::is_ascii_digit);
    match rest.first() {
        None => true,
        // A unit, a version, a path.
        Some(b'_' | b'/' | b'@') => false,
        Some(byte) if byte.is_ascii_alphanumeric() => false,
        // A time, a date, a range, a version.
        Some(b':' | b'-' | b'.') => !is_digit(1),
        // 1,024
        Some(b',') => !(is_digit(1) && is_digit(2) && is_digit(3) && !is_digit(4)),
        Some(_) => true,
    }
}

/// `10/391]`, or at the start of a line also `10]`.
fn counted(inside: &[u8], is_start: bool) -> Option<i64> {
    let (count, rest) = number(without_spaces(inside))?;
    let is_count = match rest.split_first() {
        Some((b'/', total)) => matches!(number(without_spaces(total)), Some((_, [b']', ..]))),
        Some((b']', _)) => is_start,
        _ => false,
    };
    value(count).filter(|_| is_count).and_then(whole)
}

fn whole(number: f64) -> Option<i64> {
    // The largest whole numbers that no neighbour is rounded to.
    let fits = number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0;
    fits.then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line, the numbers in it, and the step.
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<i64>);

    fn read(line: &str, allowed: &[&str]) -> (Vec<(String, String)>, Option<i64>) {
        let allowed: Vec<_> = allowed.iter().map(|pattern| Pattern::new(pattern).unwrap()).collect();
        let Scalars { found, step } = scalars(line.as_bytes(), &allowed);
        let told = |scalar: &Scalar<'_>| {
            assert!(line[scalar.at..].starts_with(scalar.name));
            (scalar.name.to_owned(), scalar.value.to_string())
        };
        (found.iter().map(told).collect(), step)
    }

    #[test]
    fn what_trainings_print_is_read() {
        let all = ["loss", "lr", "eval_*", "acc*", "*rmse", "val/*", "train_loss", "grad_norm", "learning_rate"];
        let cases: &[Case<'_>] = &[
            ("loss=0.123 lr=3e-4 step=100", &[("loss", "0.123"), ("lr", "0.0003")], Some(100)),
            ("2026-11-29 20:25:26,123 INFO train: loss: 0.1234, LR: -1.", &[("loss", "0.1234"), ("LR", "-1")], None),
            (
                "{'loss': 0.5, 'grad_norm': 1.25, 'learning_rate': 5e-05, 'epoch': 1.0}",
                &[("loss", "0.5"), ("grad_norm", "1.25"), ("learning_rate", "0.00005")],
                Some(1),
            ),
            (
                "{'eval_loss': '0.25', 'eval_runtime': '1.5', 'epoch': '0.5'}",
                &[("eval_loss", "0.25"), ("eval_runtime", "1.5")],
                None,
            ),
            ("[10/100] loss 0.3 acc@1 77.2", &[("loss", "0.3"), ("acc@1", "77.2")], Some(10)),
            ("10/10 - 0s - 2ms/step - accuracy: 0.9 - loss: 0.1", &[("accuracy", "0.9"), ("loss", "0.1")], None),
            (
                "Epoch 3: 100%|███| 10/10 [00:00<00:00, 50.5it/s, v_num=0, train_loss=0.5]",
                &[("train_loss", "0.5")],
                Some(3),
            ),
            ("[7]\ttrain-rmse:0.1\teval-rmse:0.25", &[("train-rmse", "0.1"), ("eval-rmse", "0.25")], Some(7)),
            (
                "Epoch: [2][ 10/391]\tTime  0.3 ( 0.2)\tLoss 6.9e+00 (6.8e+00)\tAcc@1   0.00 (  0.10)",
                &[("Loss", "6.9"), ("Acc@1", "0")],
                Some(10),
            ),
            (" iteration      100/  500000 | lm loss: 9.5E+00 | loss scale: 1.0 |", &[("loss", "9.5")], Some(100)),
            ("epoch=1 step=20 global_step=120 val/acc=0.5", &[("val/acc", "0.5")], Some(120)),
            ("loss=tensor(0.25, grad_fn=<X>) lr=np.float64(0.5)", &[("loss", "0.25"), ("lr", "0.5")], None),
            (r#"{"loss": NaN, "lr": -Infinity, "step": 3}"#, &[("loss", "NaN"), ("lr", "-inf")], Some(3)),
        ];
        for (line, expected, step) in cases {
            let expected = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            assert_eq!(read(line, &all), (expected, *step), "{line}");
        }
    }

    #[test]
    fn what_is_no_number_or_has_another_name_is_not_taken() {
        for line in [
            "loss=12:30:11",
            "loss: 2026-11-29",
            "loss=1.2.3",
            "loss=3ms",
            "loss 10/100",
            "loss=1,024",
            "loss: none, lossy=0.5, lossless: 3",
            "loss",
            "loss=",
            "loss='",
            "loss=1e",
            "loss function: nanmean",
            "loss: nano",
            "0loss=1",
            "the 'loss' 0.5",
        ] {
            assert_eq!(read(line, &["loss"]), (vec![], None), "{line}");
        }
        assert_eq!(read("loss=0.5", &[]), (vec![], None));
    }

    #[test]
    fn any_bytes_are_looked_through_and_a_line_has_so_many_numbers_at_most() {
        let many = "loss=1 ".repeat(2 * MAX_SCALARS);
        assert_eq!(read(&many, &["loss"]).0.len(), MAX_SCALARS);
        let mut bytes: Vec<u8> = (0..=255).cycle().take(3 * LOOKED_AT).collect();
        bytes.extend_from_slice(b" loss=1");
        assert_eq!(scalars(&bytes, &[Pattern::new("*").unwrap()]), Scalars::default());
    }
}
