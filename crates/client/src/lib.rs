//! A client for every kind of listener: MQTT, MQTT-SN and JSON, over TCP, WebSocket and UDP.
//!
//! [`Client::connect`] takes a URL whose scheme chooses the protocol, and [`Options`]. A [`Client`] publishes and
//! receives [`Message`]s in the same way whatever it speaks; [`Client::split`] parts it into a [`Publisher`], which can
//! be cloned, and a [`Receiver`], so that two tasks can use the two directions.
//!
//! [`Client::request`] publishes a message that somebody is to answer, and waits for the answer.
//!
//! | URL | speaks |
//! | --- | --- |
//! | `mqtt://host:1883` | MQTT 5.0 or 3.1.1 over TCP |
//! | `ws://host:8080/mqtt` | the same over WebSocket |
//! | `ws://host:8080/ws` | JSON, one object in a text frame |
//! | `tcp://host:1883` | JSON, one object in a line |
//! | `udp://host:1883` | JSON, one object in a datagram |
//! | `mqtt-sn://host:1884` | MQTT-SN 1.2; also without a connection, by [`publish_unconnected`] |
//!
//! The module [`streams`] joins two clients by a name, so that what each writes the other reads.
//! A [`Room`] is a member of a datagram channel, which is something else: over UDP, without topics, and nothing is sent
//! again.
//!
//! # How the parts meet
//!
//! Behind each client runs one task, the `Driver`. It owns the socket (module `transport`: what stands around packets
//! and texts on the way) and a `Protocol` (MQTT or JSON: what they mean). A protocol reads no socket and no clock:
//! packets and the time go in, packets and messages come out. The handles talk to the driver through bounded queues:
//! who publishes faster than the hub takes waits, and when nobody takes the messages that come in, the socket is not
//! read. A message of QoS 1 or 2 is acknowledged when it is taken out by [`Receiver::next_message`], not before.
//!
//! ```no_run
//! use trefoil_client::{Client, Message, Options, QoS};
//!
//! # async fn example() -> Result<(), trefoil_client::Error> {
//! let mut client = Client::connect("mqtt://127.0.0.1:1883", Options::default()).await?;
//! client.subscribe("kitchen/#", QoS::AtLeastOnce).await?;
//! client.publish(Message::new("kitchen/oven", "180").qos(QoS::AtLeastOnce)).await?;
//! if let Some(message) = client.next_message().await {
//!     println!("{}: {}", message.topic, String::from_utf8_lossy(&message.payload));
//! }
//! client.close().await
//! # }
//! ```
//!
//! A connection that breaks is not made again: that is left to the program, which knows how long a message is worth
//! sending. A program that connects anew keeps a [`Session`], with which what was in flight is sent again, and what
//! came at QoS 2 does not come twice.

mod address;
mod client;
mod command;
mod connect;
mod driver;
mod error;
mod keep_alive;
mod message;
mod options;
mod protocol;
mod random;
mod room;
mod session;
pub mod streams;
mod transport;
mod units;

pub use client::{Client, Publisher, Receipt, Receiver};
pub use connect::publish_unconnected;
pub use error::{Error, ErrorKind};
pub use message::{Answer, Message, Properties};
pub use options::{Authentication, Options, SubscribeOptions, Will};
pub use room::{Room, RoomDatagram, RoomEvent, RoomToken, room_token};
pub use session::Session;
pub use trefoil_json::{Code, SlowReader};
pub use trefoil_mqtt::{QoS, Version};
pub use trefoil_room::Left;
