//! What goes beyond the protocols, as it is configured: all of it is off by default.

use crate::delayed::DelayLimits;
use crate::rewrite::{Names, Rewrites};
use crate::subscriptions::SubscriptionOptions;
use trefoil_mqtt::RetainHandling;

/// What goes beyond the protocols.
#[derive(Clone, Default, Debug)]
pub struct Extensions {
    /// Rules that change topics.
    pub rewrites: Rewrites,
    /// What clients are subscribed to when they connect.
    pub subscribe: Vec<AutomaticSubscription>,
    /// Whether messages to `$delayed/SECONDS/TOPIC` are published later, and how many of them may wait.
    pub delayed: Option<DelayLimits>,
    /// Whether `$exclusive/FILTER` is a subscription that only one session may hold.
    pub exclusive: bool,
}

/// What a client speaks, as far as automatic subscriptions go by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// MQTT, on TCP or WebSocket.
    Mqtt,
    /// The JSON protocol, on whatever carries it.
    Json,
    /// MQTT-SN.
    MqttSn,
}

/// What clients are subscribed to when they connect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AutomaticSubscription {
    /// The filter, in which [`CLIENT_ID`] and [`USER_NAME`] stand for those of the client.
    pub filter: String,
    /// The options of the subscription.
    pub options: SubscriptionOptions,
    /// What is done with retained messages.
    pub retain_handling: RetainHandling,
    /// Clients of MQTT are subscribed.
    pub mqtt: bool,
    /// Clients of the JSON protocol are subscribed.
    pub json: bool,
    /// Clients of MQTT-SN are subscribed.
    pub mqtt_sn: bool,
}

/// Stands for the client id in the filter of an automatic subscription.
pub const CLIENT_ID: &str = "{client_id}";

/// Stands for the user name in the filter of an automatic subscription.
pub const USER_NAME: &str = "{user_name}";

impl AutomaticSubscription {
    /// Whether clients that speak `language` are subscribed.
    pub(crate) fn is_for(&self, language: Language) -> bool {
        match language {
            Language::Mqtt => self.mqtt,
            Language::Json => self.json,
            Language::MqttSn => self.mqtt_sn,
        }
    }

    /// Whether it asks who the user is.
    pub(crate) fn uses_user_name(&self) -> bool {
        self.filter.contains(USER_NAME)
    }

    /// The filter for one client; none if it has not got a name that the filter asks for.
    pub(crate) fn filter_for(&self, names: Names<'_>) -> Option<String> {
        let mut filter = self.filter.clone();
        for (mark, name) in [(CLIENT_ID, names.client_id()), (USER_NAME, names.user_name())] {
            if filter.contains(mark) {
                filter = filter.replace(mark, name?);
            }
        }
        Some(filter)
    }
}
