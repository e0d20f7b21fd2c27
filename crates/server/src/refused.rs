//! How each protocol says what the hub refuses.

use http::StatusCode;
use trefoil_hub::{DelayError, Refusal, SubscribeError};
use trefoil_json::Code;
use trefoil_mqtt::ReasonCode;
use trefoil_mqtt_sn::ReturnCode;

/// The same refusal in the words of each protocol.
pub(crate) struct Words {
    pub(crate) mqtt: ReasonCode,
    pub(crate) mqtt_sn: ReturnCode,
    pub(crate) json: Code,
    pub(crate) http: StatusCode,
}

/// A valid message that is not published.
pub(crate) fn publish(refusal: Refusal) -> Words {
    match refusal {
        Refusal::HubTopic | Refusal::Delayed(DelayError::HubTopic) => Words {
            mqtt: ReasonCode::NotAuthorized,
            mqtt_sn: ReturnCode::NOT_SUPPORTED,
            json: Code::NotAuthorized,
            http: StatusCode::FORBIDDEN,
        },
        Refusal::NotKept | Refusal::Delayed(DelayError::TooMany { .. } | DelayError::TooMuch { .. }) => {
            Words {
                mqtt: ReasonCode::QuotaExceeded,
                mqtt_sn: ReturnCode::CONGESTION,
                json: Code::Quota,
                http: StatusCode::INSUFFICIENT_STORAGE,
            }
        }
        Refusal::Topic(_)
        | Refusal::Rewritten(_)
        | Refusal::Delayed(
            DelayError::Form | DelayError::Twice | DelayError::Topic(_) | DelayError::TooLong { .. },
        ) => Words {
            mqtt: ReasonCode::TopicNameInvalid,
            mqtt_sn: ReturnCode::NOT_SUPPORTED,
            json: Code::BadTopic,
            http: StatusCode::BAD_REQUEST,
        },
    }
}

/// A subscription that is not made.
pub(crate) fn subscribe(error: SubscribeError) -> Words {
    match error {
        SubscribeError::Filter(_)
        | SubscribeError::ExclusiveOff
        | SubscribeError::ExclusiveShare
        | SubscribeError::NotExclusively
        | SubscribeError::Exclusively => Words {
            mqtt: ReasonCode::TopicFilterInvalid,
            mqtt_sn: ReturnCode::NOT_SUPPORTED,
            json: Code::BadTopic,
            http: StatusCode::BAD_REQUEST,
        },
        SubscribeError::Replies => Words {
            mqtt: ReasonCode::NotAuthorized,
            mqtt_sn: ReturnCode::NOT_SUPPORTED,
            json: Code::NotAuthorized,
            http: StatusCode::FORBIDDEN,
        },
        SubscribeError::TooMany { .. } | SubscribeError::Taken | SubscribeError::NotKept => Words {
            mqtt: ReasonCode::QuotaExceeded,
            mqtt_sn: ReturnCode::CONGESTION,
            json: Code::Quota,
            http: StatusCode::CONFLICT,
        },
    }
}
