//! Frames that come in become events (RFC 6455 §5, §6.2, §8.1).

use std::ops::Range;

use crate::header::{Header, Opcode};
use crate::message::Message;
use crate::{CONTROL_BYTES_MAX, CloseFrame, Violation, mask};

/// The most bytes that [`Receiver::receive`] leaves to its caller: all but one of a masked control frame.
pub const REST_BYTES_MAX: usize = 2 + 4 + CONTROL_BYTES_MAX - 1;

/// On which side of the connection a [`Receiver`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It receives from a client, whose frames must be masked.
    Server,
    /// It receives from a server, whose frames must not be masked.
    Client,
}

/// What a [`Receiver`] takes at most. Both are checked before anything is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Payload bytes of one frame.
    pub frame_bytes_max: usize,
    /// Payload bytes of one message, all fragments together.
    pub message_bytes_max: usize,
}

/// Takes the bytes of one connection and gives the events in them.
///
/// # What is kept where
///
/// An unfragmented message that lies whole in the input comes back as a slice of the input; nothing is copied. A
/// message that does not (its fragments, or a frame of which only a part has come) is joined in a buffer of the
/// receiver's own: each byte is unmasked, checked and copied once as it comes, so that a large frame in many pieces
/// costs linear time. The caller therefore never has to keep more than half a header or half a control frame, at
/// most [`REST_BYTES_MAX`] bytes, and can read into a scratch buffer that all connections share.
///
/// An idle receiver is a few words and owns no heap memory. The buffer of a joined message is freed by the call
/// after the one that returned it, hence [`receive`](Receiver::receive) is to be called until it returns neither an
/// event nor consumed bytes.
#[derive(Debug)]
pub struct Receiver {
    limits: Limits,
    role: Role,
    may_deflate: bool,
    /// A close frame or a violation ended it; what still comes is discarded (§1.4, §7.1.7).
    ended: bool,
    message: Option<Box<Message>>,
}

/// What one call of [`Receiver::receive`] achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// Bytes at the front of the input that are done with.
    pub consumed: usize,
    /// What they completed.
    pub event: Option<Event<'a>>,
}

/// A complete message or control frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
    /// A compressed message, to be [inflated](crate::deflate::Inflater::message). Comes only where compression was agreed on.
    Deflated {
        /// It is a text message: what it becomes must be UTF-8.
        is_text: bool,
        /// Its payload as it came.
        payload: &'a [u8],
    },
    /// To be answered by a pong with the same payload (§5.5.2).
    Ping(&'a [u8]),
    /// An answer to a ping, or an unasked sign of life (§5.5.3).
    Pong(&'a [u8]),
    /// To be answered by a close frame, unless one was sent (§5.5.1). No event comes after it.
    Close(Option<CloseFrame<'a>>),
}

impl Receiver {
    /// A receiver for a connection whose handshake is done.
    pub fn new(role: Role, limits: Limits) -> Receiver {
        Receiver { limits, role, may_deflate: false, ended: false, message: None }
    }

    /// The same for a connection on which compression was agreed on: [`Event::Deflated`] may come. The limits hold for
    /// what comes compressed as well.
    pub fn with_deflate(self) -> Receiver {
        Receiver { may_deflate: true, ..self }
    }

    /// What it takes at most.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Takes from the front of `input`, which is unmasked in place.
    ///
    /// To be called with what is left until it returns no event and `consumed` is 0 (an empty input counts too);
    /// then the rest, at most [`REST_BYTES_MAX`] bytes, waits for the bytes that follow it. After a close frame or a
    /// violation whatever comes is consumed and ignored.
    ///
    /// # Errors
    ///
    /// The first rule that the peer breaks; text that is not UTF-8 as soon as its first wrong byte is there, however
    /// much of its frame or message is still to come.
    pub fn receive<'a>(&'a mut self, input: &'a mut [u8]) -> Result<Received<'a>, Violation> {
        if self.message.as_ref().is_some_and(|message| message.is_complete()) {
            self.message = None;
        }
        if self.ended {
            return Ok(Received { consumed: input.len(), event: None });
        }
        let step = self.advance(input).inspect_err(|_| self.end())?;
        let input: &'a [u8] = input;
        let event = match step.found {
            Found::Nothing => None,
            Found::Whole(Whole { opcode, deflated: true }, payload) => {
                Some(Event::Deflated { is_text: opcode == Opcode::Text, payload: &input[payload] })
            }
            Found::Whole(Whole { opcode, .. }, payload) => {
                Some(event(opcode, &input[payload]).inspect_err(|_| self.end())?)
            }
            Found::Joined => self.message.as_ref().map(|message| message.event()),
        };
        Ok(Received { consumed: step.consumed, event })
    }

    /// How many bytes of the frame under way have yet to come; `None` when no frame is under way.
    ///
    /// No caller needs it to make progress; it can say how much it is worth reading at once.
    pub fn needed(&self) -> Option<usize> {
        self.message.as_ref().map(|message| message.needed()).filter(|&needed| needed > 0)
    }

    /// Whether no message is under way, and so nothing is held on the heap.
    pub fn is_idle(&self) -> bool {
        self.message.is_none()
    }

    fn advance(&mut self, input: &mut [u8]) -> Result<Step, Violation> {
        if self.needed().is_some() {
            return self.join(0, input);
        }
        let Some(header) = Header::parse(input, self.role, &self.limits, self.may_deflate)? else {
            return Ok(Step::NONE);
        };
        let whole = input.len() - header.len >= header.payload_len;
        if header.opcode.is_control() {
            if !whole {
                return Ok(Step::NONE);
            }
            if header.opcode == Opcode::Close {
                self.end();
            }
            return Ok(Step::whole(&header, input));
        }

        self.check_sequence(&header)?;
        match &mut self.message {
            Some(message) => message.go_on(&header),
            None if header.fin && whole => return Ok(Step::whole(&header, input)),
            none => *none = Some(Box::new(Message::begin(&header))),
        }
        self.join(header.len, input)
    }

    /// Whether a data frame may come now, and whether its message stays within its limit.
    fn check_sequence(&self, header: &Header) -> Result<(), Violation> {
        let joined = match (&self.message, header.opcode) {
            (Some(message), Opcode::Continuation) => message.len(),
            (None, Opcode::Continuation) => return Err(Violation::ContinuationUnexpected),
            (Some(_), _) => return Err(Violation::MessageInterrupted),
            (None, _) => 0,
        };
        if header.payload_len > self.limits.message_bytes_max - joined {
            return Err(Violation::MessageTooLarge);
        }
        Ok(())
    }

    /// Gives the message under way what is there of its frame.
    fn join(&mut self, header_len: usize, input: &mut [u8]) -> Result<Step, Violation> {
        let Some(message) = &mut self.message else { return Ok(Step::NONE) };
        let taken = message.take(&mut input[header_len..])?;
        let found = if message.is_complete() { Found::Joined } else { Found::Nothing };
        Ok(Step { consumed: header_len + taken, found })
    }

    fn end(&mut self) {
        self.ended = true;
        self.message = None;
    }
}

/// [`Received`] before anything is borrowed.
struct Step {
    consumed: usize,
    found: Found,
}

enum Found {
    Nothing,
    /// A frame that is complete by itself; its payload lies there in the input, unmasked.
    Whole(Whole, Range<usize>),
    /// The message in [`Receiver::message`] is complete.
    Joined,
}

struct Whole {
    opcode: Opcode,
    deflated: bool,
}

impl Step {
    const NONE: Step = Step { consumed: 0, found: Found::Nothing };

    fn whole(header: &Header, input: &mut [u8]) -> Step {
        let payload = header.len..header.len + header.payload_len;
        if let Some(mask) = header.mask {
            mask::apply(mask, &mut input[payload.clone()]);
        }
        let whole = Whole { opcode: header.opcode, deflated: header.deflated };
        Step { consumed: payload.end, found: Found::Whole(whole, payload) }
    }
}

/// The event that a frame is by itself.
fn event(opcode: Opcode, payload: &[u8]) -> Result<Event<'_>, Violation> {
    Ok(match opcode {
        Opcode::Text => Event::Text(simdutf8::basic::from_utf8(payload).map_err(|_| Violation::NotUtf8)?),
        Opcode::Binary | Opcode::Continuation => Event::Binary(payload),
        Opcode::Ping => Event::Ping(payload),
        Opcode::Pong => Event::Pong(payload),
        Opcode::Close => Event::Close(CloseFrame::parse(payload)?),
    })
}
