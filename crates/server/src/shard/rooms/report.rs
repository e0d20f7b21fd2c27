//! Which rooms there are.

use crate::shard::ShardLoop;
use tokio::sync::oneshot;

/// One room.
#[derive(Debug)]
pub(crate) struct RoomReport {
    pub(crate) name: Box<str>,
    pub(crate) peers: Vec<PeerReport>,
}

/// One peer in it.
#[derive(Debug)]
pub(crate) struct PeerReport {
    pub(crate) number: u16,
    pub(crate) user: Box<str>,
    pub(crate) address: std::net::SocketAddr,
}

impl ShardLoop {
    /// Says which rooms there are, at most so many, and who is in them.
    pub(in crate::shard) fn report_rooms(&self, rooms_max: usize, reply: oneshot::Sender<Vec<RoomReport>>) {
        let report = |room: &super::OpenRoom| RoomReport {
            name: room.name.clone(),
            peers: room
                .members
                .peers()
                .iter()
                .map(|peer| PeerReport {
                    number: peer.number,
                    user: peer.user.clone(),
                    address: peer.address.target.address(),
                })
                .collect(),
        };
        let rooms = self.rooms.rooms.iter().take(rooms_max).map(|(_, room)| report(room)).collect();
        // Whoever asked may have gone meanwhile.
        let _ = reply.send(rooms);
    }
}
