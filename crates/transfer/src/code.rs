//! Codes such as `7-amber-canoe`: a number that finds the stream, and words that are the password.

use std::fmt;
use std::str::FromStr;

/// No two of these differ in one letter only, so a slip of the hand or the ear does not make another code.
const WORDS: &str = include_str!("words.txt");

/// How many words there are: each adds ten bits.
const WORDS_COUNT: usize = 1024;

/// Shorter secrets are refused. Two of our shortest words have nine letters with the hyphen.
const SECRET_BYTES_MIN: usize = 8;

/// Longer codes are refused, in bytes.
const CODE_BYTES_MAX: usize = 128;

/// A number below this finds the stream.
const NUMBER_MAX: u32 = 99_999;

/// What sender and receiver tell each other: a number, which the hub gets to know, and a secret, which it does not.
#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    number: u32,
    secret: String,
}

impl Code {
    /// A code with this number and as many words. `random` has two bytes for each word, and every value of them is as
    /// likely as any other; each word takes ten bits of that.
    #[must_use]
    pub fn generate(number: u32, random: &[u8]) -> Code {
        let words: Vec<&str> = WORDS.lines().collect();
        let pick = |pair: &[u8; 2]| words[usize::from(u16::from_be_bytes(*pair)) % WORDS_COUNT];
        let secret: Vec<&str> = random.as_chunks().0.iter().map(pick).collect();
        Code { number: number.clamp(1, NUMBER_MAX), secret: secret.join("-") }
    }

    /// The same secret with another number.
    #[must_use]
    pub fn with_number(&self, number: u32) -> Code {
        Code { number: number.clamp(1, NUMBER_MAX), secret: self.secret.clone() }
    }

    /// The name of the stream that joins the two. It says nothing about the secret.
    #[must_use]
    pub fn stream(&self) -> String {
        format!("$file/{}", self.number)
    }

    /// What the exchange of keys takes for a password.
    pub(crate) fn password(&self) -> String {
        self.to_string()
    }
}

/// The code as it is told.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number, self.secret)
    }
}

/// Without the secret: logs are read by others.
impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({}-…)", self.number)
    }
}

/// Why a text is no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeError {
    /// It does not begin with a number from 1 to 99,999 and a hyphen.
    NoNumber,
    /// What follows the number can be guessed.
    TooShort,
    /// It is longer than 128 bytes.
    TooLong,
    /// There are characters in it that people could not tell each other.
    BadCharacter(char),
}

impl fmt::Display for CodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodeError::NoNumber => write!(
                f,
                "a code begins with a number from 1 to {NUMBER_MAX} and a hyphen, as in 7-amber-canoe"
            ),
            CodeError::TooShort => write!(
                f,
                "what follows the number needs at least {SECRET_BYTES_MIN} characters, since others could guess it; \
                 two words or more, as in 7-amber-canoe"
            ),
            CodeError::TooLong => write!(f, "a code has at most {CODE_BYTES_MAX} characters"),
            CodeError::BadCharacter(bad) => {
                write!(f, "a code has letters, digits and hyphens, and no {bad:?}")
            }
        }
    }
}

impl std::error::Error for CodeError {}

/// Takes capitals for small letters, and spaces for hyphens, as people type them.
impl FromStr for Code {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Code, CodeError> {
        if text.len() > CODE_BYTES_MAX {
            return Err(CodeError::TooLong);
        }
        let text = text.trim().to_ascii_lowercase();
        let parts: Vec<&str> = text.split([' ', '-', '\t']).filter(|part| !part.is_empty()).collect();
        let (number, words) = parts.split_first().ok_or(CodeError::NoNumber)?;
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
        let number: u32 = number
            .parse()
            .ok()
            .filter(|number| is_number && (1..=NUMBER_MAX).contains(number))
            .ok_or(CodeError::NoNumber)?;
        let secret = words.join("-");
        if let Some(bad) = secret.chars().find(|c| !c.is_alphanumeric() && *c != '-') {
            return Err(CodeError::BadCharacter(bad));
        }
        if secret.len() < SECRET_BYTES_MIN {
            return Err(CodeError::TooShort);
        }
        Ok(Code { number, secret })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_words_as_ten_bits_can_name_and_each_is_told_from_the_others() {
        let words: Vec<&str> = WORDS.lines().collect();
        assert_eq!(words.len(), WORDS_COUNT);
        for (index, word) in words.iter().enumerate() {
            assert!((4..=8).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase()), "{word}");
            for other in &words[..index] {
                assert!(!is_near(word, other), "{word} and {other} differ in one letter");
            }
        }
    }

    /// Whether one letter changed, added or left out makes one word the other.
    fn is_near(one: &str, other: &str) -> bool {
        let (long, short) = if one.len() >= other.len() { (one, other) } else { (other, one) };
        if long.len() == short.len() {
            return long.bytes().zip(short.bytes()).filter(|(a, b)| a != b).count() < 2;
        }
        (0..long.len()).any(|at| format!("{}{}", &long[..at], &long[at + 1..]) == short)
    }

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code: Code = "7-amber-canoe".parse().expect("it is a code");
        for typed in ["7-Amber-Canoe", " 7 amber canoe\n", "007--amber-canoe"] {
            assert_eq!(typed.parse(), Ok(code.clone()), "{typed}");
        }
        assert_eq!((code.to_string(), code.stream()), ("7-amber-canoe".into(), "$file/7".into()));
        assert!(!format!("{code:?}").contains("amber"));
    }

    #[test]
    fn what_is_no_code_is_told_apart() {
        let error = |text: &str| text.parse::<Code>().expect_err("it is no code");
        for bad in ["", "amber-canoe", "0-amber-canoe", "100000-amber-canoe", "+7-amber-canoe", "-"] {
            assert_eq!(error(bad), CodeError::NoNumber, "{bad}");
        }
        assert_eq!(error("7-canoe"), CodeError::TooShort);
        assert_eq!(error("7-amber-canoe/x"), CodeError::BadCharacter('/'));
        assert_eq!(error(&format!("7-{}", "x".repeat(200))), CodeError::TooLong);
    }

    #[test]
    fn every_pair_of_bytes_makes_a_word() {
        let code = Code::generate(7, &[0, 0, 0xff, 0xff]);
        let words: Vec<&str> = WORDS.lines().collect();
        assert_eq!(code.to_string(), format!("7-{}-{}", words[0], words[1023]));
        assert_eq!(code.to_string().parse(), Ok(code.clone()));
        assert_eq!(code.with_number(9).stream(), "$file/9");
    }
}
