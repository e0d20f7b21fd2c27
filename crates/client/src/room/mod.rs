//! Datagram channels: a member of a room over UDP.

mod token;

pub use token::{RoomToken, room_token};

use crate::address::{Address, Protocol, Transport};
use crate::error::{Error, Peer, shown};
use crate::random::Random;
use crate::transport::{DATAGRAM_BYTES_MAX, in_words};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};
use trefoil_room::{Data, Event, Gone, Left, Member, check_name};

/// A member of a room: what it sends goes to the others, what they send comes. Nothing is sent again, and whatever may
/// happen to a datagram may happen to these.
///
/// It keeps itself in the room while somebody waits in [`next`](Room::next), and joins again when the hub has been started
/// anew or has forgotten it.
///
/// ```no_run
/// use trefoil_client::{Room, RoomEvent};
/// use std::time::Duration;
///
/// # async fn example() -> Result<(), trefoil_client::Error> {
/// let mut room = Room::join("udp://127.0.0.1:1883", "pong/7", "", Duration::from_secs(10)).await?;
/// room.send(b"left paddle up").await?;
/// while let Some(event) = room.next().await? {
///     if let RoomEvent::Data(datagram) = event {
///         println!("{}: {:?}", datagram.from, datagram.payload);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Room {
    socket: UdpSocket,
    member: Member,
    peer: Peer,
    room: String,
    /// The zero of the member's time.
    started: Instant,
    number: u16,
    others: Vec<u16>,
    buffer: Box<[u8]>,
    out: Vec<u8>,
}

/// What comes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RoomEvent {
    /// Somebody has said something.
    Data(RoomDatagram),
    /// Somebody has come; then so many others are there.
    Joined {
        /// Its number.
        peer: u16,
        /// How many others there are.
        peers: u16,
    },
    /// Somebody is gone; then so many others are there.
    Left {
        /// Its number.
        peer: u16,
        /// How many others there are.
        peers: u16,
        /// Why.
        why: Left,
    },
    /// The member is out of the room for the moment, and joins again.
    Away,
    /// It is in the room again, perhaps with another number.
    Back,
}

/// What somebody has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomDatagram {
    /// Who.
    pub from: u16,
    /// Counted by the sender; what is lost is missing.
    pub sequence: u32,
    /// Nobody else has got it.
    pub direct: bool,
    /// What.
    pub payload: Vec<u8>,
}

impl Room {
    /// Joins a room at the hub behind a `udp://` URL. The token may be empty where nobody is asked who they are;
    /// elsewhere [`room_token`] gets one.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for a URL, name or token that cannot be,
    /// [`ErrorKind::Connect`](crate::ErrorKind::Connect) or [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut) when nobody
    /// answers, [`ErrorKind::Refused`](crate::ErrorKind::Refused) when the hub does not let this member in.
    pub async fn join(url: &str, room: &str, token: &str, patience: Duration) -> Result<Room, Error> {
        let address = Address::parse(url)?;
        if (address.transport, address.protocol) != (Transport::Udp, Protocol::Json) {
            return Err(Error::usage(format!("rooms are at udp:// addresses, and {address} is none")));
        }
        check_name(room)
            .map_err(|error| Error::usage(format!("{room:?} is not the name of a room: {error}")))?;
        if token.len() > trefoil_room::TOKEN_BYTES_MAX {
            return Err(Error::usage("the token is longer than any is"));
        }
        let peer = Peer::new(&address.to_string());
        let peer = &peer;
        let attempt = move |to| async move {
            let mut joining = Room::open(to, room, token, peer).await?;
            match timeout(patience, joining.enter()).await {
                Ok(entered) => entered.map(|()| joining).map_err(Error::before_greeting),
                Err(_) => Err(peer.timed_out("is the address right, and does a firewall let UDP through?")),
            }
        };
        address.try_each(peer, attempt).await
    }

    async fn open(to: SocketAddr, room: &str, token: &str, peer: &Peer) -> Result<Room, Error> {
        let any: IpAddr =
            if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let unreachable = |error: io::Error| peer.unreachable(in_words(&error));
        let socket = UdpSocket::bind((any, 0)).await.map_err(unreachable)?;
        socket.connect(to).await.map_err(unreachable)?;
        let nonce = u32::from_ne_bytes(Random::new().mask());
        Ok(Room {
            socket,
            member: Member::new(room, token.as_bytes(), nonce, 0),
            peer: peer.clone(),
            room: room.to_owned(),
            started: Instant::now(),
            number: 0,
            others: Vec::new(),
            buffer: vec![0; DATAGRAM_BYTES_MAX].into_boxed_slice(),
            out: Vec::new(),
        })
    }

    /// Waits until it is in.
    async fn enter(&mut self) -> Result<(), Error> {
        while !self.member.is_in() {
            if self.next().await?.is_none() {
                return Err(self.peer.lost("it was closed"));
            }
        }
        Ok(())
    }

    /// This member's own number in the room.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The numbers of the others who are there, as far as they are known.
    pub fn others(&self) -> &[u16] {
        &self.others
    }

    /// The most bytes that can be sent at a time.
    pub fn payload_bytes_max(&self) -> usize {
        self.member.payload_bytes_max()
    }

    /// Sends something to all others. While the member is [away](RoomEvent::Away) it is lost.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) when it is larger than [`payload_bytes_max`](Self::payload_bytes_max),
    /// [`ErrorKind::Lost`](crate::ErrorKind::Lost) when the system cannot send.
    pub async fn send(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.say(Data::to_others(payload)).await
    }

    /// The same, to be dropped on its way where something newer has come before.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_newest(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.say(Data::to_others(payload).newest()).await
    }

    /// Sends something to one peer.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_to(&mut self, peer: u16, payload: &[u8]) -> Result<(), Error> {
        self.say(Data::to_peer(peer, payload)).await
    }

    async fn say(&mut self, data: Data<'_>) -> Result<(), Error> {
        let bytes_max = self.member.payload_bytes_max();
        if data.payload.len() > bytes_max {
            let bytes = data.payload.len();
            return Err(Error::usage(format!("{bytes} bytes do not fit into a datagram of {bytes_max}")));
        }
        if !self.member.is_in() {
            return Ok(());
        }
        self.out.clear();
        let now_ms = self.now_ms();
        self.member.write(data, now_ms, &mut self.out);
        self.transmit().await
    }

    /// The next thing that comes; none once this member is out for good by [`leave`](Self::leave).
    ///
    /// # Errors
    /// [`ErrorKind::Refused`](crate::ErrorKind::Refused) when the hub does not let it in (again),
    /// [`ErrorKind::Lost`](crate::ErrorKind::Lost) when the hub takes it out for good, or stops.
    pub async fn next(&mut self) -> Result<Option<RoomEvent>, Error> {
        loop {
            if self.member.is_out() {
                return Ok(None);
            }
            let now_ms = self.now_ms();
            self.out.clear();
            let was_in = self.member.is_in();
            if self.member.poll_transmit(now_ms, &mut self.out) {
                self.transmit().await?;
                if was_in && !self.member.is_in() {
                    return Ok(Some(RoomEvent::Away));
                }
                continue;
            }
            let deadline_ms = self.member.next_deadline_ms().unwrap_or(now_ms + 1000);
            let deadline = self.started + Duration::from_millis(deadline_ms);
            let received = tokio::select! {
                received = self.socket.recv(&mut self.buffer) => received,
                () = tokio::time::sleep_until(deadline) => continue,
            };
            match received {
                Ok(len) => {
                    if let Some(event) = self.handle(len)? {
                        return Ok(Some(event));
                    }
                }
                // Nobody listens there now. While it is in the room that may be a hub that is being started anew.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && self.number > 0 => {}
                Err(error) => return Err(self.peer.lost(in_words(&error))),
            }
        }
    }

    fn handle(&mut self, len: usize) -> Result<Option<RoomEvent>, Error> {
        let now_ms = self.now_ms();
        let Some(event) = self.member.handle(&self.buffer[..len], now_ms) else { return Ok(None) };
        Ok(Some(match event {
            Event::Welcome(welcome) => {
                self.number = welcome.peer;
                self.others = welcome.others().collect();
                RoomEvent::Back
            }
            Event::Refused { text, .. } => {
                let what = format!("to let this in to the room {:?}", self.room);
                return Err(self.peer.refused(what, shown(text.as_bytes())));
            }
            Event::Data(data) => RoomEvent::Data(RoomDatagram {
                from: data.peer,
                sequence: data.sequence,
                direct: data.direct,
                payload: data.payload.to_vec(),
            }),
            Event::Joined { peer, peers } => {
                self.others.push(peer);
                RoomEvent::Joined { peer, peers }
            }
            Event::Left { peer, peers, why } => {
                self.others.retain(|other| *other != peer);
                RoomEvent::Left { peer, peers, why }
            }
            Event::Forgotten => RoomEvent::Away,
            Event::Gone(why) if why.may_return() => RoomEvent::Away,
            Event::Gone(why) => {
                return Err(self.peer.lost(match why {
                    Gone::Stop => "the hub stops",
                    Gone::Replaced => "somebody has joined with the same token",
                    _ => "this member may not be in the room any more",
                }));
            }
        }))
    }

    /// Says goodbye.
    ///
    /// # Errors
    /// [`ErrorKind::Lost`](crate::ErrorKind::Lost) when the system cannot send; the hub then notices after a while.
    pub async fn leave(&mut self) -> Result<(), Error> {
        self.out.clear();
        self.member.leave(&mut self.out);
        if self.out.is_empty() { Ok(()) } else { self.transmit().await }
    }

    async fn transmit(&self) -> Result<(), Error> {
        match self.socket.send(&self.out).await {
            // That is of an earlier one, and no reason to say nothing more.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && self.number > 0 => Ok(()),
            Err(error) => Err(self.peer.lost(in_words(&error))),
            Ok(_) => Ok(()),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
