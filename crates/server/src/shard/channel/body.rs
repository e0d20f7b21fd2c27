//! The body of a request, as it comes in pieces (RFC 9112 §6 and §7).

use httparse::Status;

/// Bytes of a line with the size of a chunk, and of all trailers together: nobody who means well needs more.
const LINE_BYTES_MAX: usize = 1024;

/// What is known of a body that has not come in whole.
#[derive(Debug)]
pub(super) enum Body {
    /// So many bytes.
    Length(usize),
    Chunked(Box<Chunked>),
}

/// Why a body is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// It is longer than it may be.
    TooLarge,
    /// What says how long it is contradicts itself, or says nothing that is known.
    Malformed,
}

/// A body that comes in chunks, as far as it has come.
#[derive(Default, Debug)]
pub(super) struct Chunked {
    body: Vec<u8>,
    state: State,
    bytes_max: usize,
}

#[derive(Clone, Copy, Default, Debug)]
enum State {
    #[default]
    Size,
    /// So many bytes of the chunk are left, and the line break behind it.
    Data(usize),
    LineBreak,
    /// Bytes of trailers that have been read.
    Trailers(usize),
}

impl Body {
    /// What the head of a request says of its body.
    ///
    /// # Errors
    /// When it is longer than `bytes_max`, or says so in a way that another reader might understand differently.
    pub(super) fn announced(headers: &[httparse::Header<'_>], bytes_max: usize) -> Result<Body, Fault> {
        let values = |name: &'static str| {
            headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value.trim_ascii())
        };
        let mut length = None;
        for value in values("content-length") {
            let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(value).ok().filter(|_| is_number).ok_or(Fault::Malformed)?;
            // What is longer than any number is too large in any case.
            let number = text.parse::<usize>().unwrap_or(usize::MAX);
            if length.is_some_and(|known| known != number) {
                return Err(Fault::Malformed);
            }
            length = Some(number);
        }
        let mut codings = values("transfer-encoding");
        match (codings.next(), codings.next(), length) {
            (None, _, Some(length)) if length > bytes_max => Err(Fault::TooLarge),
            (None, _, length) => Ok(Body::Length(length.unwrap_or(0))),
            (Some(coding), None, None) if coding.eq_ignore_ascii_case(b"chunked") => {
                Ok(Body::Chunked(Box::new(Chunked { bytes_max, ..Chunked::default() })))
            }
            _ => Err(Fault::Malformed),
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Body::Length(0))
    }

    /// Takes what there is of it in `input`. Returns how much of that is done with, and the body once it is whole.
    ///
    /// # Errors
    /// When it is too long, or no chunks are where chunks were announced.
    pub(super) fn take<'a>(&'a mut self, input: &'a [u8]) -> Result<(usize, Option<&'a [u8]>), Fault> {
        match self {
            Body::Length(length) => match input.get(..*length) {
                Some(body) => Ok((*length, Some(body))),
                None => Ok((0, None)),
            },
            Body::Chunked(chunked) => {
                let (used, is_whole) = chunked.take(input)?;
                Ok((used, is_whole.then_some(&chunked.body)))
            }
        }
    }
}

impl Chunked {
    fn take(&mut self, input: &[u8]) -> Result<(usize, bool), Fault> {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            match self.state {
                State::Size => match httparse::parse_chunk_size(rest) {
                    Ok(Status::Complete((line, 0))) => {
                        used += line;
                        self.state = State::Trailers(0);
                    }
                    Ok(Status::Complete((line, size))) => {
                        let size = usize::try_from(size).map_err(|_| Fault::TooLarge)?;
                        if size > self.bytes_max - self.body.len() {
                            return Err(Fault::TooLarge);
                        }
                        used += line;
                        self.state = State::Data(size);
                    }
                    Ok(Status::Partial) if rest.len() <= LINE_BYTES_MAX => return Ok((used, false)),
                    _ => return Err(Fault::Malformed),
                },
                State::Data(left) => {
                    let here = left.min(rest.len());
                    self.body.extend_from_slice(&rest[..here]);
                    used += here;
                    if here < left {
                        self.state = State::Data(left - here);
                        return Ok((used, false));
                    }
                    self.state = State::LineBreak;
                }
                State::LineBreak => match rest {
                    [b'\r', b'\n', ..] => {
                        used += 2;
                        self.state = State::Size;
                    }
                    [] | [b'\r'] => return Ok((used, false)),
                    _ => return Err(Fault::Malformed),
                },
                State::Trailers(before) => {
                    let end = memchr::memchr(b'\n', rest);
                    let line = end.map_or(rest.len(), |at| at + 1);
                    if before + line > LINE_BYTES_MAX {
                        return Err(Fault::Malformed);
                    }
                    if end.is_none() {
                        return Ok((used, false));
                    }
                    used += line;
                    if rest[..line].trim_ascii().is_empty() {
                        return Ok((used, true));
                    }
                    self.state = State::Trailers(before + line);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(headers: &[(&'static str, &str)]) -> Result<Body, Fault> {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        Body::announced(&headers, 100)
    }

    /// A body, and what is left behind it.
    type Whole = (Vec<u8>, Vec<u8>);

    /// Takes a body that comes in pieces of some bytes.
    fn taken(mut body: Body, wire: &[u8], piece: usize) -> Result<Option<Whole>, Fault> {
        let mut rest = Vec::new();
        for (at, part) in wire.chunks(piece).enumerate() {
            rest.extend_from_slice(part);
            let (used, whole) = body.take(&rest)?;
            if let Some(whole) = whole {
                let behind = [&rest[used..], &wire[(at * piece + part.len())..]].concat();
                return Ok(Some((whole.to_vec(), behind)));
            }
            rest.drain(..used);
        }
        Ok(None)
    }

    #[test]
    fn a_body_of_a_length_is_so_long() {
        for piece in 1..9 {
            let body = announced(&[("Content-Length", "5"), ("content-length", " 5 ")]).expect("a body");
            assert_eq!(taken(body, b"12345GET", piece), Ok(Some((b"12345".to_vec(), b"GET".to_vec()))));
        }
        assert!(announced(&[]).expect("none").is_empty());
        assert_eq!(announced(&[("Content-Length", "101")]).err(), Some(Fault::TooLarge));
        assert_eq!(announced(&[("Content-Length", "9".repeat(40).as_str())]).err(), Some(Fault::TooLarge));
    }

    #[test]
    fn chunks_become_one_body() {
        let wire = b"3\r\nabc\r\nA;name=\"value\"\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nGET";
        for piece in 1..wire.len() {
            let body = announced(&[("transfer-encoding", "Chunked")]).expect("a body");
            let expected = (b"abc0123456789".to_vec(), b"GET".to_vec());
            assert_eq!(taken(body, wire, piece), Ok(Some(expected)), "{piece}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for headers in [
            &[("content-length", "1"), ("content-length", "2")][..],
            &[("content-length", "1"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")],
            &[("content-length", "+1")],
            &[("content-length", "")],
            &[("content-length", "1,1")],
        ] {
            assert_eq!(announced(headers).err(), Some(Fault::Malformed), "{headers:?}");
        }
    }

    #[test]
    fn no_chunks_grow_beyond_the_bound() {
        let line = [b"1;".to_vec(), vec![b'x'; 2000]].concat();
        let trailers = [b"0\r\n".to_vec(), vec![b'x'; 2000]].concat();
        for (wire, fault) in [
            (&b"65\r\n"[..], Fault::TooLarge),
            (b"ffffffffffffffff\r\n", Fault::TooLarge),
            (b"fffffffffffffffff\r\n", Fault::Malformed),
            (b"x\r\n", Fault::Malformed),
            (b"1\r\nab\r\n", Fault::Malformed),
            (&line, Fault::Malformed),
            (&trailers, Fault::Malformed),
        ] {
            let body = announced(&[("transfer-encoding", "chunked")]).expect("a body");
            assert_eq!(taken(body, wire, 1).err(), Some(fault), "{wire:?}");
        }
        let body = announced(&[("transfer-encoding", "chunked")]).expect("a body");
        assert_eq!(taken(body, b"60\r\n", 1), Ok(None), "it may still come");
    }
}
