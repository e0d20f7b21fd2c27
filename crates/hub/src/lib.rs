//! The heart of Trefoil: topics, the index of subscriptions, sessions and their QoS state, retained messages, wills and
//! shared subscriptions, without sockets, clocks or threads.
//!
//! A hub is a few [`Shard`]s that own their sessions outright and one [`Shared`] that they all know: the table of who
//! wants what ([`Interest`](interest::Interest)) and the [`Retained`](retained::Retained) messages. The caller feeds a
//! shard with what clients do (`connect`, `subscribe`, `publish`, `acknowledge`, …) and with the [`Time`]; the shard
//! answers through an [`Outlet`], which puts each [`Delivery`] into bytes, and hands [`Parcel`]s for other shards to it.
//!
//! ```
//! use std::sync::Arc;
//! use trefoil_hub::*;
//!
//! /// Prints what is delivered.
//! struct Printer(Vec<String>);
//!
//! impl Outlet for Printer {
//!     fn has_room(&mut self, _: ConnectionKey, _: Option<usize>) -> bool {
//!         true
//!     }
//!     fn deliver(&mut self, to: ConnectionKey, message: &Arc<Message>, _: &Delivery<'_>) -> Delivered {
//!         self.0.push(format!("{}: {} to {}", message.topic, String::from_utf8_lossy(&message.payload), to.0));
//!         Delivered::Sent
//!     }
//!     fn release(&mut self, _: ConnectionKey, _: u16, _: u64) {}
//!     fn forward(&mut self, _: usize, _: Parcel) {}
//! }
//!
//! let shared = Arc::new(Shared::new(1, 42, Limits::default()));
//! let mut shard = Shard::new(0, shared);
//! let (now, mut out) = (Time::default(), Printer(Vec::new()));
//!
//! let kitchen = shard.connect(now, Connect::new("kitchen", ConnectionKey(7)), &mut out);
//! shard.subscribe(kitchen.session, "home/+/temperature", Default::default(), RetainHandling::Send)?;
//!
//! let message = Message {
//!     topic: Topic::new("home/attic/temperature", 128)?,
//!     payload: "21.5".into(),
//!     qos: QoS::AtMostOnce,
//!     retain: false,
//!     expires_at: None,
//!     properties: None,
//! };
//! shard.publish(now, None, &Arc::new(message), &mut out);
//! assert_eq!(out.0, ["home/attic/temperature: 21.5 to 7"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backlog;
mod delayed;
mod exclusive;
mod extensions;
pub mod group;
mod history;
pub mod index;
pub mod interest;
mod journal;
mod key;
mod message;
mod outgoing;
mod outlet;
mod payload;
pub mod retained;
mod rewrite;
mod routes;
mod session;
mod shard;
mod shared;
mod slow_reader;
mod subscriptions;
mod time;
pub mod topic;
mod wheel;

pub use backlog::Backlog;
pub use delayed::{DelayError, DelayLimits};
pub use extensions::{AutomaticSubscription, CLIENT_ID, Extensions, Language, USER_NAME};
pub use history::{
    Epoch, History, HistoryFigures, HistoryOptions, HistoryPage, HistoryRule, HistoryState, NoEpoch,
    PageStart, Place, Placed, TopicHistory,
};
pub use journal::{Batch, Debt, Durability, Image, ImageSize, Keeping, Unreadable};
pub use key::{ConnectionKey, SessionKey};
pub use message::{Message, Properties};
pub use outlet::{Delivered, Delivery, Outlet, Parcel};
pub use payload::Payload;
pub use rewrite::{Names, RewriteError, RewriteRule, Rewrites};
pub use session::Will;
pub use shard::{
    Connect, Connected, Counters, Ending, Following, Published, Refusal, Resume, SessionOrder, SessionReport,
    SessionSurvey, Shard, SubscribeError, Turn, restore,
};
pub use shared::{Limits, Shared};
pub use slow_reader::{Newest, SlowReader};
pub use subscriptions::{Audience, Receiver, SubscriptionOptions};
pub use time::Time;
pub use topic::{Filter, Topic, TopicError};
pub use trefoil_mqtt::{QoS, RetainHandling};
pub use wheel::Wheel;
