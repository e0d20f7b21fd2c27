//! What is under way, as a checkpoint and the process that a connection goes to have to know it: there nothing of it is sent
//! again.

use super::{Outgoing, Pending, State};
use std::collections::HashSet;

/// A delivery in flight, as it stands.
pub(crate) struct Standing<'a> {
    pub(crate) packet_id: u16,
    /// PUBREC has come.
    pub(crate) is_received: bool,
    /// On this connection.
    pub(crate) is_sent: bool,
    pub(crate) pending: &'a Pending,
}

impl Outgoing {
    /// All that is in flight, in the order of its packet ids.
    pub(crate) fn in_the_air(&self) -> impl Iterator<Item = Standing<'_>> {
        self.flights.iter().enumerate().filter_map(|(at, flight)| {
            let flight = flight.as_ref()?;
            let (is_received, is_sent) = (flight.state == State::Released, flight.is_sent);
            Some(Standing { packet_id: self.id_at(at), is_received, is_sent, pending: &flight.pending })
        })
    }

    /// All that waits, in order.
    pub(crate) fn in_the_queue(&self) -> impl Iterator<Item = &Pending> {
        self.queue.iter()
    }

    /// The packet id that the next delivery gets.
    pub(crate) fn next_packet_id(&self) -> u16 {
        self.id_at(self.flights.len())
    }

    /// Takes what has been put back in flight for sent on this connection, except for these packet ids, and goes on with
    /// that one. Those in between were acknowledged.
    pub(crate) fn go_on_as_sent(&mut self, next_packet_id: u16, unsent: &HashSet<u16>) {
        if self.flights.is_empty() {
            self.first_id = next_packet_id.max(1);
        }
        let len = self.place_of(next_packet_id);
        while self.flights.len() < len {
            self.flights.push_back(None);
        }
        let (mut outstanding, mut ends) = (0, [self.flights.len(); 2]);
        for at in 0..self.flights.len() {
            let packet_id = self.id_at(at);
            let Some(flight) = &mut self.flights[at] else { continue };
            flight.is_sent = !unsent.contains(&packet_id);
            outstanding += usize::from(flight.is_sent);
            if !flight.is_sent {
                let end = &mut ends[usize::from(flight.state == State::Released)];
                *end = (*end).min(at);
            }
        }
        [self.resend_at, self.rerelease_at] = ends;
        self.outstanding = outstanding;
    }
}
