//! Where one unit ends and the next begins in a stream of bytes.

use super::Sink;
use crate::address::Protocol;
use crate::error::{Error, Peer, shown};
use std::time::Duration;
use trefoil_framing::{Decoder, Framing};

/// Cuts a stream into units.
#[derive(Debug)]
pub(super) enum Cutter {
    Packets { packet_bytes_max: usize },
    Lines(Box<Decoder>),
}

impl Cutter {
    pub(super) fn new(protocol: Protocol, unit_bytes_max: usize) -> Result<Cutter, Error> {
        Ok(match protocol {
            Protocol::Mqtt => Cutter::Packets { packet_bytes_max: unit_bytes_max },
            Protocol::Json | Protocol::MqttSn => {
                let decoder = Decoder::new(Framing::Line, unit_bytes_max);
                Cutter::Lines(Box::new(
                    decoder.map_err(|error| Error::usage(format!("packet_bytes_max: {error}")))?,
                ))
            }
        })
    }

    /// Gives whole units to `sink`; returns how many bytes they were.
    pub(super) fn cut(&mut self, input: &[u8], peer: &Peer, sink: Sink<'_>) -> Result<usize, Error> {
        match self {
            Cutter::Packets { packet_bytes_max } => packets(input, *packet_bytes_max, peer, sink),
            Cutter::Lines(decoder) => lines(input, decoder, peer, sink),
        }
    }

    /// What stands around a unit that is sent.
    pub(super) fn wrap(&self, unit: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(unit);
        if let Cutter::Lines(_) = self {
            out.push(b'\n');
        }
    }
}

fn packets(input: &[u8], packet_bytes_max: usize, peer: &Peer, sink: Sink<'_>) -> Result<usize, Error> {
    let mut consumed = 0;
    loop {
        let rest = &input[consumed..];
        let frame = trefoil_mqtt::frame(rest, packet_bytes_max)
            .map_err(|error| peer.stranger(format!("{error} (it said \"{}\")", shown(rest))))?;
        match frame.and_then(|frame| rest.get(..frame.len)) {
            Some(packet) => {
                consumed += packet.len();
                sink(packet)?;
            }
            None => return Ok(consumed),
        }
    }
}

fn lines(input: &[u8], decoder: &mut Decoder, peer: &Peer, sink: Sink<'_>) -> Result<usize, Error> {
    let mut consumed = 0;
    loop {
        // A line does not depend on time.
        let step = decoder.next(&input[consumed..], Duration::ZERO);
        match step.found {
            Some(Ok(line)) if line.is_empty() => {}
            Some(Ok(line)) => sink(&line)?,
            Some(Err(error)) => return Err(peer.stranger(error)),
            None if step.consumed == 0 => return Ok(consumed),
            None => {}
        }
        consumed += step.consumed;
    }
}
