//! Why a subscription is not made.

use crate::topic::{REPLY_TOPICS, TopicError};
use std::fmt;

/// Why a subscription was not made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubscribeError {
    /// The filter is not valid.
    Filter(TopicError),
    /// The session has as many subscriptions as it may have.
    TooMany {
        /// The limit.
        max: usize,
    },
    /// It is to be exclusive, and the hub is not set to know that.
    ExclusiveOff,
    /// It is to be exclusive and shared.
    ExclusiveShare,
    /// It is for topics to which answers go.
    Replies,
    /// Another session holds it.
    Taken,
    /// It has to be kept on disk, which cannot be done now.
    NotKept,
    /// It is to be exclusive, and the session has a subscription to the same filter that is not.
    NotExclusively,
    /// The session has a subscription to the same filter that is exclusive, and this one is not to be.
    Exclusively,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SubscribeError::Filter(why) => why.fmt(f),
            SubscribeError::TooMany { max } => {
                write!(
                    f,
                    "the session has {max} subscriptions already (limits.subscriptions_per_session_max)"
                )
            }
            SubscribeError::ExclusiveOff => {
                f.write_str("this hub has no exclusive subscriptions (exclusive.enabled)")
            }
            SubscribeError::ExclusiveShare => f.write_str("a subscription cannot be exclusive and shared"),
            SubscribeError::NotKept => f.write_str("the subscription has to be kept, and cannot be now"),
            SubscribeError::Replies => {
                write!(f, "nobody subscribes below {REPLY_TOPICS}: the hub brings answers there to who asked")
            }
            SubscribeError::Taken => f.write_str("another session has this exclusive subscription"),
            SubscribeError::NotExclusively => f.write_str(
                "the session has this subscription already, not exclusively; unsubscribe it first",
            ),
            SubscribeError::Exclusively => {
                f.write_str("the session has this subscription already, exclusively; unsubscribe it first")
            }
        }
    }
}

impl std::error::Error for SubscribeError {}
