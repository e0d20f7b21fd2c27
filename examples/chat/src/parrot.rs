//! A parrot that lives in the lobby: an MQTT client like any other, which answers when it is spoken to.

use std::convert::Infallible;
use std::time::{SystemTime, UNIX_EPOCH};

use example_shared::forever;
use serde_json::{Value, json};
use trefoil_client::{Client, Error, Message, Options, QoS};

const ROOM: &str = "chat/lobby/said";
const NAME: &str = "Polly";

/// Parrots do not remember long sentences.
const WORDS_MAX: usize = 12;

/// Sits in the lobby as long as the hub is there, and waits for it when it is not.
pub(crate) async fn live_forever(url: &str) -> Infallible {
    forever("the parrot", async || live(url).await).await
}

async fn live(url: &str) -> Result<Infallible, Error> {
    let options = Options { client_id: Some(NAME.into()), ..Options::default() };
    let mut client = Client::connect(url, options).await?;
    client.subscribe(ROOM, QoS::AtLeastOnce).await?;
    let mut answers = 0u64;
    while let Some(message) = client.next_message().await {
        let Some(text) = answer(&message.payload) else { continue };
        answers += 1;
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let said = json!({ "id": format!("{NAME}-{at}-{answers}"), "from": NAME, "text": text, "at": at });
        client.publish(Message::new(ROOM, said.to_string()).qos(QoS::AtLeastOnce)).await?;
    }
    Err(client.error().expect("a connection that has ended says why"))
}

/// What the parrot says to that, if it was meant.
fn answer(said: &[u8]) -> Option<String> {
    let said: Value = serde_json::from_slice(said).ok()?;
    let text = said["text"].as_str().filter(|_| said["from"] != NAME)?;
    let words: Vec<_> = text.split_whitespace().collect();
    let is_called =
        |word: &&str| word.trim_matches(|c: char| !c.is_alphanumeric()).eq_ignore_ascii_case(NAME);
    let called = words.iter().position(is_called)?;
    let rest: Vec<_> = words[called + 1..].iter().take(WORDS_MAX).copied().collect();
    Some(match rest.last() {
        None => "Rrraaa! A cracker?".into(),
        Some(last) => format!("{} {last}! Rrraaa!", rest.join(" ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(from: &str, text: &str) -> Option<String> {
        answer(json!({ "from": from, "text": text }).to_string().as_bytes())
    }

    #[test]
    fn it_answers_when_it_is_spoken_to_and_never_itself() {
        assert_eq!(heard("ann", "polly, pretty bird").as_deref(), Some("pretty bird bird! Rrraaa!"));
        assert_eq!(heard("ann", "Hello Polly!").as_deref(), Some("Rrraaa! A cracker?"));
        assert_eq!(heard("ann", "Hello everybody"), None);
        assert_eq!(heard("Polly", "Polly wants a cracker"), None);
        assert_eq!(answer(b"no JSON"), None);
        assert_eq!(answer(b"{\"text\":7}"), None);
        assert!(
            heard("ann", &format!("polly {}", "word ".repeat(1000))).is_some_and(|said| said.len() < 100)
        );
    }
}
