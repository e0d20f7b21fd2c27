//! What a connection has yet to be sent: a rope of bytes, bounded in messages and bytes.
//!
//! Small messages are copied into the rope's tail, since that is cheaper than many small pieces in one write; large
//! ones, and runs that many connections get, are linked. All of it goes out with one vectored write a tick.

use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::IoSlice;

/// From this size on bytes are linked and not copied. Copying 64 bytes costs two thirds of linking them, linking 1 KiB
/// little more than half of copying it.
pub(crate) const LINK_BYTES_MIN: usize = 1024;

/// A copied piece does not grow beyond this, so that written memory is given back.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// A piece of so many bytes is moved to make room for the head of its frame.
const MOVED_BYTES_MAX: usize = 1024;

/// Pieces given to one write.
pub(crate) const PIECES_PER_WRITE: usize = 64;

/// The rope.
#[derive(Default)]
pub(crate) struct Outbox {
    pieces: VecDeque<Piece>,
    /// How much of the first piece has been written.
    written: usize,
    bytes: usize,
    messages: usize,
    /// The last piece takes no more: what comes next must not stand in the same piece.
    sealed: bool,
    /// Pieces at the front that already stand in WebSocket frames, and the bytes behind them: see [`frame`](Self::frame).
    framed: usize,
    unframed_bytes: usize,
    /// Objects among what is not framed, with a comma behind each: see [`join`](Self::join).
    objects: u32,
}

struct Piece {
    bytes: PieceBytes,
    messages: u32,
}

enum PieceBytes {
    Copied(Vec<u8>),
    Linked(Bytes),
}

impl PieceBytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            PieceBytes::Copied(bytes) => bytes,
            PieceBytes::Linked(bytes) => bytes.chunk(),
        }
    }
}

/// Buffers that outboxes have emptied, for the next ones to fill: a connection owns no memory while nothing waits.
#[derive(Default)]
pub(crate) struct Pool(Vec<Vec<u8>>);

const POOLED_MAX: usize = 1024;
const PIECE_BYTES_START: usize = 512;

impl Pool {
    fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_else(|| Vec::with_capacity(PIECE_BYTES_START))
    }

    /// Keeps nothing.
    pub(crate) fn clear(&mut self) {
        self.0 = Vec::new();
    }

    fn give_piece(&mut self, piece: Piece) {
        if let PieceBytes::Copied(bytes) = piece.bytes {
            self.give(bytes);
        }
    }

    fn give(&mut self, mut bytes: Vec<u8>) {
        // Whoever takes a small one would have to make it larger at once.
        let is_useful = (PIECE_BYTES_START..=PIECE_BYTES_MAX).contains(&bytes.capacity());
        if self.0.len() < POOLED_MAX && is_useful {
            bytes.clear();
            self.0.push(bytes);
        }
    }
}

impl Outbox {
    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages that wait, or have been written in part.
    pub(crate) fn messages(&self) -> usize {
        self.messages
    }

    /// Appends `bytes`, copied, that carry `messages` messages.
    pub(crate) fn copy(&mut self, bytes: &[u8], messages: u32, pool: &mut Pool) {
        self.append(messages, pool, |tail| tail.extend_from_slice(bytes));
    }

    /// Appends what `write` writes to the end of the vector it is given.
    pub(crate) fn append(&mut self, messages: u32, pool: &mut Pool, write: impl FnOnce(&mut Vec<u8>)) {
        let tail = self.tail(pool);
        tail.messages += messages;
        let PieceBytes::Copied(bytes) = &mut tail.bytes else { unreachable!("a tail is a copied piece") };
        let before = bytes.len();
        write(bytes);
        let added = bytes.len() - before;
        self.bytes += added;
        self.unframed_bytes += added;
        self.messages += messages as usize;
    }

    /// Appends `bytes`, linked, that carry `messages` messages.
    pub(crate) fn link(&mut self, bytes: Bytes, messages: u32) {
        self.bytes += bytes.len();
        self.unframed_bytes += bytes.len();
        self.messages += messages as usize;
        self.pieces.push_back(Piece { bytes: PieceBytes::Linked(bytes), messages });
    }

    /// Appends all that waits in `other`, and gives the memory of what is copied back. Pieces that are datagrams stay
    /// so.
    pub(crate) fn take_from(&mut self, other: Outbox, are_datagrams: bool, pool: &mut Pool) {
        debug_assert!(other.written == 0);
        for Piece { bytes, messages } in other.pieces {
            match bytes {
                PieceBytes::Linked(bytes) => self.link(bytes, messages),
                PieceBytes::Copied(bytes) => {
                    self.copy(&bytes, messages, pool);
                    pool.give(bytes);
                }
            }
            if are_datagrams {
                self.seal();
            }
        }
    }

    /// What comes next stands in a piece of its own: for datagrams, each of which is one.
    pub(crate) fn seal(&mut self) {
        self.sealed = true;
    }

    /// Puts one WebSocket frame around all that has been appended since the last call. The boundaries of frames mean
    /// nothing to MQTT [MQTT-6.0.0-3], so one head serves all that leaves in a tick. `head` writes it for a length.
    pub(crate) fn frame(&mut self, pool: &mut Pool, head: impl FnOnce(usize, &mut Vec<u8>)) {
        let len = self.unframed_bytes;
        if len > 0 {
            self.put_head(pool, |out| head(len, out));
        }
        self.mark_framed();
    }

    /// Bytes that have been appended and stand in no frame yet.
    pub(crate) fn unframed_bytes(&self) -> usize {
        self.unframed_bytes
    }

    /// The same as [`frame`](Self::frame), where the frame does not hold what has been appended as it is: `write` gets all
    /// of it, and writes the whole frame.
    pub(crate) fn replace_unframed(&mut self, pool: &mut Pool, write: impl FnOnce(&[u8], &mut Vec<u8>)) {
        let (mut plain, mut messages) = (Vec::with_capacity(self.unframed_bytes), 0);
        // Of what stands in no frame nothing has been written.
        for piece in self.pieces.drain(self.framed..) {
            plain.extend_from_slice(piece.bytes.as_slice());
            messages += piece.messages;
            pool.give_piece(piece);
        }
        let mut bytes = pool.take();
        write(&plain, &mut bytes);
        self.bytes = self.bytes - self.unframed_bytes + bytes.len();
        self.pieces.push_back(Piece { bytes: PieceBytes::Copied(bytes), messages });
        self.mark_framed();
    }

    /// Takes all that has been appended as frames already.
    pub(crate) fn mark_framed(&mut self) {
        self.framed = self.pieces.len();
        self.unframed_bytes = 0;
        self.sealed = true;
    }

    /// Says that `objects` of JSON have been appended, with a comma behind each.
    pub(crate) fn note_objects(&mut self, objects: u32) {
        self.objects += objects;
    }

    /// Makes one text of all the objects that have been appended since the last call: a single one stays as it is, several
    /// become an array. `head` writes what stands before a text of a length, and `end` is what stands behind it.
    pub(crate) fn join(&mut self, end: &[u8], pool: &mut Pool, head: impl FnOnce(usize, &mut Vec<u8>)) {
        let objects = std::mem::take(&mut self.objects);
        if objects > 0 {
            self.cut_comma();
            let brackets = if objects > 1 { 2 } else { 0 };
            let text_bytes = self.unframed_bytes + brackets;
            if objects > 1 {
                self.copy(b"]", 0, pool);
            }
            if !end.is_empty() {
                self.copy(end, 0, pool);
            }
            self.put_head(pool, |out| {
                head(text_bytes, out);
                if objects > 1 {
                    out.push(b'[');
                }
            });
        }
        self.mark_framed();
    }

    /// Takes the last byte off, the comma behind the last object.
    fn cut_comma(&mut self) {
        let Some(last) = self.pieces.back_mut() else { return };
        match &mut last.bytes {
            PieceBytes::Copied(bytes) => drop(bytes.pop()),
            PieceBytes::Linked(bytes) => bytes.truncate(bytes.len() - 1),
        }
        (self.bytes, self.unframed_bytes) = (self.bytes - 1, self.unframed_bytes - 1);
    }

    /// Fills `slices` with what is to be written next; returns how many.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            let skip = if count == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&piece.bytes.as_slice()[skip..]);
            count += 1;
        }
        count
    }

    /// Appends all that has yet to be written to `out`.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        let mut skip = self.written;
        for piece in &self.pieces {
            out.extend_from_slice(&piece.bytes.as_slice()[std::mem::take(&mut skip)..]);
        }
    }

    /// All that is to be written, if it is one piece: that of most ticks.
    pub(crate) fn only(&self) -> Option<&[u8]> {
        if self.pieces.len() == 1 { self.first() } else { None }
    }

    /// The first piece: for a datagram, all of it.
    pub(crate) fn first(&self) -> Option<&[u8]> {
        Some(&self.pieces.front()?.bytes.as_slice()[self.written..])
    }

    /// The datagrams that are to be sent, in their order.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        debug_assert_eq!(self.written, 0, "a datagram leaves whole");
        self.pieces.iter().map(|piece| piece.bytes.as_slice())
    }

    /// Takes `written` bytes off the front.
    pub(crate) fn advance(&mut self, written: usize, pool: &mut Pool) {
        self.bytes -= written;
        self.written += written;
        while let Some(first) = self.pieces.front() {
            let len = first.bytes.as_slice().len();
            if self.written < len {
                return;
            }
            self.written -= len;
            self.pop(pool);
        }
        self.sealed = false;
        if self.pieces.capacity() > 64 {
            self.pieces = VecDeque::new();
        }
    }

    /// Takes the first piece off, whatever is in it.
    pub(crate) fn drop_first(&mut self, pool: &mut Pool) {
        if let Some(len) = self.first().map(<[u8]>::len) {
            self.advance(len, pool);
        }
    }

    /// Gives back all memory, if nothing waits.
    pub(crate) fn slim(&mut self) {
        if self.pieces.is_empty() {
            self.pieces = VecDeque::new();
        }
    }

    /// Puts what `head` writes before all that stands in no frame.
    fn put_head(&mut self, pool: &mut Pool, head: impl FnOnce(&mut Vec<u8>)) {
        let is_alone = self.framed + 1 == self.pieces.len();
        match self.pieces.back_mut() {
            // To move a little costs less than to write two pieces.
            Some(Piece { bytes: PieceBytes::Copied(bytes), .. })
                if is_alone && bytes.len() <= MOVED_BYTES_MAX =>
            {
                let before = bytes.len();
                head(bytes);
                let added = bytes.len() - before;
                bytes.rotate_right(added);
                self.bytes += added;
            }
            _ => {
                let mut bytes = pool.take();
                head(&mut bytes);
                if bytes.is_empty() {
                    return pool.give(bytes);
                }
                self.bytes += bytes.len();
                self.pieces.insert(self.framed, Piece { bytes: PieceBytes::Copied(bytes), messages: 0 });
            }
        }
    }

    fn pop(&mut self, pool: &mut Pool) {
        let Some(piece) = self.pieces.pop_front() else { return };
        self.messages -= piece.messages as usize;
        if self.framed > 0 {
            self.framed -= 1;
        } else {
            self.unframed_bytes -= piece.bytes.as_slice().len();
        }
        pool.give_piece(piece);
    }

    fn tail(&mut self, pool: &mut Pool) -> &mut Piece {
        let fits = !self.sealed
            && self.pieces.back().is_some_and(|last| match &last.bytes {
                PieceBytes::Copied(bytes) => bytes.len() < PIECE_BYTES_MAX,
                PieceBytes::Linked(_) => false,
            });
        if !fits {
            self.sealed = false;
            self.pieces.push_back(Piece { bytes: PieceBytes::Copied(pool.take()), messages: 0 });
        }
        let last = self.pieces.len() - 1;
        &mut self.pieces[last]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(outbox: &mut Outbox, at_once: usize, pool: &mut Pool) -> Vec<u8> {
        let mut all = Vec::new();
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); 3];
            let count = outbox.slices(&mut slices);
            let bytes: Vec<u8> =
                slices[..count].iter().flat_map(|s| s.iter().copied()).take(at_once).collect();
            all.extend_from_slice(&bytes);
            outbox.advance(bytes.len(), pool);
        }
        all
    }

    #[test]
    fn order_is_kept_however_little_is_written() {
        for at_once in 1..12 {
            let (mut outbox, mut pool) = (Outbox::default(), Pool::default());
            outbox.copy(b"one", 1, &mut pool);
            outbox.copy(b"two", 1, &mut pool);
            outbox.link(Bytes::from_static(b"three"), 2);
            outbox.copy(b"four", 1, &mut pool);
            assert_eq!((outbox.bytes(), outbox.messages()), (15, 5));
            assert_eq!(written(&mut outbox, at_once, &mut pool), b"onetwothreefour");
            assert_eq!((outbox.bytes(), outbox.messages()), (0, 0));
        }
    }

    #[test]
    fn frames_go_around_what_came_since() {
        let head = |len: usize, out: &mut Vec<u8>| out.extend_from_slice(format!("[{len}]").as_bytes());
        for at_once in 1..8 {
            let (mut outbox, mut pool) = (Outbox::default(), Pool::default());
            outbox.copy(b"ab", 1, &mut pool);
            outbox.link(Bytes::from_static(b"cde"), 1);
            outbox.frame(&mut pool, head);
            outbox.frame(&mut pool, head);
            outbox.advance(1, &mut pool);
            outbox.copy(b"f", 1, &mut pool);
            outbox.frame(&mut pool, head);
            outbox.copy(b"<pong>", 0, &mut pool);
            outbox.mark_framed();
            assert_eq!(written(&mut outbox, at_once, &mut pool), b"5]abcde[1]f<pong>");
            outbox.copy(b"g", 1, &mut pool);
            outbox.frame(&mut pool, head);
            assert_eq!(written(&mut outbox, at_once, &mut pool), b"[1]g");
        }
    }

    /// A head takes a write of its own only where there is much to move.
    #[test]
    fn a_head_stands_in_the_piece_if_that_is_short() {
        for (bytes, pieces) in [(1, 1), (MOVED_BYTES_MAX, 1), (MOVED_BYTES_MAX + 1, 2)] {
            let (mut outbox, mut pool) = (Outbox::default(), Pool::default());
            outbox.copy(&vec![b'x'; bytes], 1, &mut pool);
            outbox.frame(&mut pool, |len, out| out.extend_from_slice(format!("[{len}]").as_bytes()));
            assert_eq!(outbox.pieces.len(), pieces);
            let expected = format!("[{bytes}]{}", "x".repeat(bytes));
            assert_eq!(outbox.bytes(), expected.len());
            assert_eq!(written(&mut outbox, 700, &mut pool), expected.as_bytes());
        }
    }

    #[test]
    fn objects_are_joined_that_leave_together() {
        let head = |len: usize, out: &mut Vec<u8>| out.extend_from_slice(format!("({len})").as_bytes());
        for at_once in 1..8 {
            let (mut outbox, mut pool) = (Outbox::default(), Pool::default());
            outbox.copy(b"{1},", 1, &mut pool);
            outbox.note_objects(1);
            outbox.join(b";", &mut pool, head);
            outbox.join(b";", &mut pool, head);
            outbox.copy(b"{2},", 1, &mut pool);
            outbox.link(Bytes::from_static(b"{3},{4},"), 2);
            outbox.note_objects(3);
            outbox.advance(1, &mut pool);
            outbox.join(b"", &mut pool, head);
            outbox.copy(b"whole", 0, &mut pool);
            outbox.mark_framed();
            outbox.link(Bytes::from_static(b"{5},"), 1);
            outbox.note_objects(1);
            outbox.join(b"", &mut pool, head);
            assert_eq!(outbox.messages(), 5);
            assert_eq!(written(&mut outbox, at_once, &mut pool), b"3){1};(13)[{2},{3},{4}]whole(3){5}");
            assert_eq!((outbox.bytes(), outbox.messages()), (0, 0));
        }
    }

    /// A frame that holds something else than what was appended takes its place, behind what is framed already.
    #[test]
    fn frames_may_hold_something_else() {
        for at_once in 1..8 {
            let (mut outbox, mut pool) = (Outbox::default(), Pool::default());
            outbox.copy(b"<ping>", 0, &mut pool);
            outbox.mark_framed();
            outbox.advance(1, &mut pool);
            outbox.copy(b"ab", 1, &mut pool);
            outbox.link(Bytes::from_static(b"cde"), 2);
            assert_eq!(outbox.unframed_bytes(), 5);
            outbox.replace_unframed(&mut pool, |all, out| {
                assert_eq!(all, b"abcde");
                out.extend_from_slice(b"{5}");
            });
            assert_eq!((outbox.bytes(), outbox.messages(), outbox.unframed_bytes()), (8, 3, 0));
            outbox.copy(b"f", 1, &mut pool);
            outbox.frame(&mut pool, |len, out| out.extend_from_slice(format!("[{len}]").as_bytes()));
            assert_eq!(written(&mut outbox, at_once, &mut pool), b"ping>{5}[1]f");
            assert_eq!((outbox.bytes(), outbox.messages()), (0, 0));
        }
    }

    #[test]
    fn sealed_pieces_stay_apart() {
        let (mut outbox, mut pool) = (Outbox::default(), Pool::default());
        for datagram in [b"one", b"two"] {
            outbox.copy(datagram, 1, &mut pool);
            outbox.seal();
        }
        assert_eq!(outbox.first(), Some(&b"one"[..]));
        outbox.drop_first(&mut pool);
        assert_eq!(outbox.first(), Some(&b"two"[..]));
        outbox.drop_first(&mut pool);
        assert!(outbox.is_empty());
    }
}
