//! The devices, as programs that know nothing but a socket and their own bytes.

pub(crate) mod ferry;
pub(crate) mod gauge;
pub(crate) mod pump;

use std::future::Future;
use std::io::{self, Write};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

const RETRY: Duration = Duration::from_secs(1);

/// A device.
pub(crate) trait Device: Send + 'static {
    /// What it is called.
    const NAME: &'static str;

    /// Lives until its connection ends.
    fn live(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// Starts a device. What is returned is its plug: `false` pulls its cable.
pub(crate) fn plug_in<D: Device>(mut device: D) -> (&'static str, watch::Sender<bool>) {
    let (plug, mut power) = watch::channel(true);
    tokio::spawn(async move {
        // It fails when the program ends, which pulls all plugs.
        while power.wait_for(|on| *on).await.is_ok() {
            tokio::select! {
                () = live_forever(&mut device) => {}
                _ = power.wait_for(|on| !*on) => {}
            }
        }
    });
    (D::NAME, plug)
}

async fn live_forever(device: &mut impl Device) {
    loop {
        if let Err(error) = device.live().await {
            // Nobody reads this program's errors after it has lost its terminal, so a failure to write is none.
            let _ = writeln!(io::stderr(), "{}: {error}; trying again", name_of(device));
        }
        sleep(RETRY).await;
    }
}

fn name_of<D: Device>(_: &D) -> &'static str {
    D::NAME
}
