//! The names by which sessions and connections are known inside a shard.

/// Names a session of the shard while it lasts; the name is used again afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SessionKey(u32);

impl SessionKey {
    pub(crate) fn new(index: u32) -> SessionKey {
        SessionKey(index)
    }

    /// The place in the shard's table.
    pub fn index(self) -> u32 {
        self.0
    }
}

/// Names a connection of the shard. The hub only keeps it and gives it back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConnectionKey(pub u32);
