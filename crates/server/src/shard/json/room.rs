//! Tokens for datagram channels: the operation `room`.

use crate::shard::ShardLoop;
use crate::shard::rooms::Ungranted;
use trefoil_hub::ConnectionKey;
use trefoil_json::{Code, RequestError};

impl ShardLoop {
    pub(super) fn json_room(
        &mut self,
        key: ConnectionKey,
        room: &str,
        id: Option<u64>,
    ) -> Result<(), RequestError> {
        let user = self.net.get(key).and_then(|connection| connection.user.clone());
        let (token, expires_s) = self.net.context.room_token(user.as_deref(), room).map_err(|why| {
            let code = match why {
                Ungranted::Name(_) => Code::BadField,
                Ungranted::Unknown | Ungranted::User | Ungranted::Closed => Code::NotAuthorized,
                Ungranted::System => Code::Unavailable,
            };
            RequestError::new(code, why.to_string()).field("room")
        })?;
        self.json_answer(key, |out| trefoil_json::encode_room_token(room, &token, expires_s, id, out));
        Ok(())
    }
}
