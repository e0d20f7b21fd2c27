//! A pump: it says who it is, tells its registers twice a second, and writes the one that it is told to.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::interval;

use super::Device;
use crate::registers::{RPM_MAX, Registers};
use crate::settings::SECRET;

const PERIOD: Duration = Duration::from_millis(500);
/// A pump has little memory: who sends it a longer frame is hung up on.
const FRAME_BYTES_MAX: usize = 256;

pub(crate) struct Pump {
    hub: SocketAddr,
    registers: Registers,
    rng: Rng,
}

impl Pump {
    /// A pump that connects to this address.
    pub(crate) fn new(hub: SocketAddr) -> Pump {
        let registers = Registers { rpm_wanted: 1_500, temperature: 210, ..Registers::default() };
        Pump { hub, registers, rng: Rng::new() }
    }

    /// Half a second passes.
    fn step(&mut self) {
        let registers = &mut self.registers;
        let (wanted, rpm) = (f64::from(registers.rpm_wanted), f64::from(registers.rpm));
        let rpm = rpm + (wanted - rpm) * 0.3;
        let part = rpm / f64::from(RPM_MAX);
        let noise = 1.0 + 0.02 * (self.rng.f64() - 0.5);
        let celsius = f64::from(registers.temperature) / 10.0;
        registers.rpm = rpm.round() as u16;
        registers.pressure = (6_000.0 * part * part * noise) as u16;
        registers.flow = (1_200.0 * part * noise) as u16;
        registers.temperature = ((celsius + (21.0 + 50.0 * part - celsius) * 0.05) * 10.0).round() as u16;
    }
}

impl Device for Pump {
    const NAME: &'static str = "pump-7";

    async fn live(&mut self) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.hub).await?;
        stream.write_all(&framed(format!("PUMP {} {SECRET}", Self::NAME).as_bytes())).await?;
        let mut ticks = interval(PERIOD);
        let mut came = Vec::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    self.step();
                    stream.write_all(&framed(&self.registers.report())).await?;
                }
                count = stream.read_buf(&mut came) => {
                    if count? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    while let Some(frame) = take_frame(&mut came)? {
                        if let Some(answer) = self.registers.obey(&frame) {
                            stream.write_all(&framed(&answer)).await?;
                        }
                    }
                }
            }
        }
    }
}

/// A frame with its length in front.
fn framed(frame: &[u8]) -> Vec<u8> {
    let length = u16::try_from(frame.len()).expect("frames of pumps are short");
    [&length.to_be_bytes(), frame].concat()
}

/// Takes the first frame out, if all of it is there.
fn take_frame(came: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let [high, low, rest @ ..] = &came[..] else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length > FRAME_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let Some(frame) = rest.get(..length).map(<[u8]>::to_vec) else { return Ok(None) };
    came.drain(..2 + length);
    Ok(Some(frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let mut came = Vec::new();
        let mut found = Vec::new();
        for byte in [framed(b"one"), framed(b""), framed(b"three")].concat() {
            came.push(byte);
            while let Some(frame) = take_frame(&mut came).expect("they are short") {
                found.push(frame);
            }
        }
        assert_eq!(found, [&b"one"[..], b"", b"three"]);
        assert!(take_frame(&mut vec![0xFF, 0xFF]).is_err());
    }

    #[test]
    fn it_comes_up_to_speed() {
        let mut pump = Pump::new("127.0.0.1:1".parse().expect("an address"));
        (0..40).for_each(|_| pump.step());
        assert!(
            pump.registers.rpm > 1_490 && pump.registers.pressure > 1_400 && pump.registers.temperature > 300
        );
    }
}
