//! The bytes of entries: numbers as LEB128, texts and byte strings behind their length.

/// Why an entry cannot be read: what was found at its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unreadable(pub &'static str);

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "an entry cannot be read: {}; was it written by a newer version?", self.0)
    }
}

impl std::error::Error for Unreadable {}

pub(crate) fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// None is 0, so that a number that may be missing takes no byte of its own.
pub(super) fn put_optional(number: Option<u64>, out: &mut Vec<u8>) {
    put_number(number.map_or(0, |n| n.saturating_add(1)), out);
}

pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// None is told from an empty text.
pub(super) fn put_optional_text(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        None => out.push(0),
        Some(text) => {
            put_number(text.len() as u64 + 1, out);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// What is left of a record.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn byte(&mut self) -> Result<u8, Unreadable> {
        let (&first, rest) = self.0.split_first().ok_or(Unreadable("it ends early"))?;
        self.0 = rest;
        Ok(first)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Unreadable> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Unreadable("a number is too long"))
    }

    pub(super) fn optional(&mut self) -> Result<Option<u64>, Unreadable> {
        Ok(self.number()?.checked_sub(1))
    }

    /// A number that has to be below that of its type.
    pub(crate) fn small<N: TryFrom<u64>>(&mut self) -> Result<N, Unreadable> {
        N::try_from(self.number()?).map_err(|_| Unreadable("a number is too large"))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Unreadable> {
        let len = self.small()?;
        self.take(len)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        self.take(N)?.try_into().map_err(|_| Unreadable("it ends early"))
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Unreadable> {
        text(self.bytes()?)
    }

    pub(super) fn optional_text(&mut self) -> Result<Option<&'a str>, Unreadable> {
        match self.small::<usize>()?.checked_sub(1) {
            None => Ok(None),
            Some(len) => text(self.take(len)?).map(Some),
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Unreadable("it ends early"))?;
        self.0 = rest;
        Ok(taken)
    }
}

fn text(bytes: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(bytes).map_err(|_| Unreadable("a text is not UTF-8"))
}
