//! Hears of every piece of every machine and checks the order.

use trefoil_client::{Client, Error, Options, QoS};

use crate::piece::{Piece, machine_of};
use crate::plant::Plant;

/// Subscribes. Only then may the machines start, so that nothing is made before somebody hears of it.
pub(crate) async fn subscribe(plant: &Plant) -> Result<Client, Error> {
    let client = plant.connect("recorder", Options::default()).await?;
    client.subscribe("plant/+/pieces", QoS::AtLeastOnce).await?;
    Ok(client)
}

/// Records until the connection ends.
pub(crate) async fn run(plant: &Plant, mut client: Client) -> Error {
    while let Some(message) = client.next_message().await {
        let machine = machine_of(&message.topic).and_then(|name| plant.machine(name));
        if let (Some(machine), Some(piece)) = (machine, Piece::parse(&message.payload)) {
            machine.order().take(piece.n);
        }
    }
    client.error().expect("a connection that has ended says why")
}
