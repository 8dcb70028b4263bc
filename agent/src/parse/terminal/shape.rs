//! What stays the same in a row that is drawn again and again.

/// The letters of a text, as a hash: numbers, signs, spaces and what bars and spinners are drawn with are left out.
pub fn shape(text: &[u8]) -> u64 {
    let mut hash = Hash::default();
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = match byte {
            // `1e-05` is a number as well.
            b'0'..=b'9' => {
                let is_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'+' | b'-');
                let length = after.iter().take_while(|byte| is_number(byte)).count();
                &after[length..]
            }
            b'a'..=b'z' | b'A'..=b'Z' => {
                hash.add(*byte);
                after
            }
            // Blocks, lines and Braille stand there, and no letters.
            0xe2 => after.get(2..).unwrap_or_default(),
            0x80.. => {
                hash.add(*byte);
                after
            }
            _ => after,
        };
    }
    hash.0
}

/// The same for what stands before a bar, told apart by the bar's total.
pub fn shape_with(text: &[u8], total: Option<f64>) -> u64 {
    let mut hash = Hash(shape(text));
    total.unwrap_or(-1.0).to_bits().to_le_bytes().into_iter().for_each(|byte| hash.add(byte));
    hash.0
}

/// FNV-1a: texts are short, and come in single bytes.
struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    const fn add(&mut self, byte: u8) {
        self.0 = (self.0 ^ byte as u64).wrapping_mul(0x0100_0000_01b3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_drawings_make_no_other_shape_and_letters_do() {
        let same = ["loss 0.5 at 10%", "loss 3e-05 at 9%", "⠋ loss 1 at #### 100%"];
        assert!(same.iter().all(|text| shape(text.as_bytes()) == shape(b"loss at")), "{same:?}");
        for other in ["lost 0.5 at 10%", "loss nan at 10%", "训练 loss at"] {
            assert_ne!(shape(other.as_bytes()), shape(b"loss at"), "{other}");
        }
        assert_ne!(shape("训练".as_bytes()), shape("验证".as_bytes()));
        assert_ne!(shape_with(b"train", Some(3.0)), shape_with(b"train", None));
    }
}
