//! MQTT packets or JSON lines straight on TCP.

use super::cutter::Cutter;
use super::stream::Stream;
use super::{Place, Sink, Stage};
use crate::address::Address;
use crate::error::{Error, Peer};
use crate::options::Options;

/// A TCP connection that carries units.
#[derive(Debug)]
pub(crate) struct Tcp {
    pub(super) stream: Stream,
    cutter: Cutter,
}

impl Tcp {
    pub(super) async fn connect(
        address: &Address,
        to: &Place,
        options: &Options,
        peer: &Peer,
    ) -> Result<Tcp, Error> {
        let cutter = Cutter::new(address.protocol, options.packet_bytes_max)?;
        Ok(Tcp { stream: Stream::connect(address, to, options, peer).await?, cutter })
    }

    pub(super) fn receive(&mut self, sink: Sink<'_>) -> Result<Stage, Error> {
        let stage = self.stream.fill()?;
        let consumed = self.cutter.cut(self.stream.input.waiting(), &self.stream.peer, sink)?;
        self.stream.input.consume(consumed);
        Ok(stage)
    }

    pub(super) fn push(&mut self, unit: &[u8]) {
        self.cutter.wrap(unit, &mut self.stream.out);
    }
}
