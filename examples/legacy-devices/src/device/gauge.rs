//! A gauge at the shore, with a warning light: it is a server that waits to be connected to, as terminal servers do.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::interval;

use super::Device;
use crate::gauge::{FRAME_BYTES, State, read_switch};

const PERIOD: Duration = Duration::from_millis(500);
/// What comes out of its line when it is switched on. The start mark of frames is how one finds out of it.
const NOISE: &[u8] = b"\x00\xFF\xAA boot 1.2\r\n\xAA";

pub(crate) struct Gauge {
    address: SocketAddr,
    /// Until its plug is pulled for the first time.
    listener: Option<TcpListener>,
    state: State,
    steps: u32,
}

impl Gauge {
    /// A gauge that waits there.
    pub(crate) fn new(address: SocketAddr, listener: TcpListener) -> Gauge {
        Gauge { address, listener: Some(listener), state: State::default(), steps: 0 }
    }

    /// Half a second passes: waves, on a tide.
    fn step(&mut self) {
        self.steps += 1;
        let time = f64::from(self.steps);
        let metres = 1.8 + 0.6 * (time / 40.0).sin() + 0.08 * (time / 2.3).sin();
        self.state.level = (1000.0 * metres) as u16;
        self.state.count = self.state.count.wrapping_add(1);
    }

    /// Serves one who has connected.
    async fn serve(&mut self, mut stream: TcpStream) -> io::Result<()> {
        stream.write_all(NOISE).await?;
        let mut ticks = interval(PERIOD);
        let mut came = Vec::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    self.step();
                    // In two pieces, as slow lines deliver it.
                    let frame = self.state.frame();
                    let (first, second) = frame.split_at(3);
                    stream.write_all(first).await?;
                    stream.write_all(second).await?;
                }
                count = stream.read_buf(&mut came) => {
                    if count? == 0 {
                        return Ok(());
                    }
                    while came.len() >= FRAME_BYTES {
                        let frame: Vec<u8> = came.drain(..FRAME_BYTES).collect();
                        if let Some(on) = read_switch(&frame) {
                            self.state.light = on;
                            stream.write_all(&self.state.frame()).await?;
                        }
                    }
                }
            }
        }
    }
}

impl Device for Gauge {
    const NAME: &'static str = "gauge";

    async fn live(&mut self) -> io::Result<()> {
        // It goes with this call, so that nobody can connect to a gauge whose plug is pulled.
        let listener = match self.listener.take() {
            Some(listener) => listener,
            None => TcpListener::bind(self.address).await?,
        };
        loop {
            let (stream, _) = listener.accept().await?;
            // Whoever has gone may come again.
            let _ = self.serve(stream).await;
        }
    }
}
