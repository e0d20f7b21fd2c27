//! The frames of a pump: a unit, a function and registers of two bytes, as in Modbus. The length in front of a frame is
//! the hub's business; the device writes and reads it by itself.

use serde_json::{Value, json};

pub(crate) const UNIT: u8 = 7;
/// The only register that can be written: the speed that is wanted, in turns a minute.
pub(crate) const SPEED: u16 = 0;
pub(crate) const RPM_MAX: u16 = 3_000;

const REPORT: u8 = 0x04;
const WRITE: u8 = 0x06;
/// In the function of an answer: it was refused.
const REFUSED: u8 = 0x80;
const NO_SUCH_REGISTER: u8 = 2;
const NO_SUCH_VALUE: u8 = 3;

/// What the registers hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Registers {
    /// Turns a minute, as wanted and as they are.
    pub(crate) rpm_wanted: u16,
    pub(crate) rpm: u16,
    /// In thousandths of a bar.
    pub(crate) pressure: u16,
    /// In tenths of a litre a minute.
    pub(crate) flow: u16,
    /// In tenths of a degree.
    pub(crate) temperature: u16,
}

/// What a frame from a pump says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Report(Registers),
    Written { register: u16, value: u16 },
    Refused { code: u8 },
}

impl Registers {
    /// The frame that tells them.
    pub(crate) fn report(&self) -> Vec<u8> {
        let values = [self.rpm_wanted, self.rpm, self.pressure, self.flow, self.temperature];
        let mut frame = vec![UNIT, REPORT, 2 * values.len() as u8];
        values.iter().for_each(|value| frame.extend(value.to_be_bytes()));
        frame
    }

    /// The same in words.
    pub(crate) fn json(&self) -> Value {
        json!({
            "rpm_wanted": self.rpm_wanted,
            "rpm": self.rpm,
            "bar": f64::from(self.pressure) / 1000.0,
            "litres_a_minute": f64::from(self.flow) / 10.0,
            "celsius": f64::from(self.temperature) / 10.0,
        })
    }

    /// Does what a frame asks for, and gives the answer: the frame itself when it was done. Others than those that write
    /// are not for this device.
    pub(crate) fn obey(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let [UNIT, WRITE, register @ .., high, low] = frame else { return None };
        let refused = |code| Some(vec![UNIT, WRITE | REFUSED, code]);
        let value = u16::from_be_bytes([*high, *low]);
        match register {
            [0, 0] if value <= RPM_MAX => self.rpm_wanted = value,
            [0, 0] => return refused(NO_SUCH_VALUE),
            _ => return refused(NO_SUCH_REGISTER),
        }
        Some(frame.to_vec())
    }
}

/// The frame that writes a register.
pub(crate) fn write(register: u16, value: u16) -> Vec<u8> {
    let ([a, b], [c, d]) = (register.to_be_bytes(), value.to_be_bytes());
    vec![UNIT, WRITE, a, b, c, d]
}

/// Reads what a pump has said.
pub(crate) fn read(frame: &[u8]) -> Option<Said> {
    let word = |high: &u8, low: &u8| u16::from_be_bytes([*high, *low]);
    match frame {
        [_, REPORT, 10, a, b, c, d, e, f, g, h, i, j] => Some(Said::Report(Registers {
            rpm_wanted: word(a, b),
            rpm: word(c, d),
            pressure: word(e, f),
            flow: word(g, h),
            temperature: word(i, j),
        })),
        [_, WRITE, a, b, c, d] => Some(Said::Written { register: word(a, b), value: word(c, d) }),
        [_, function, code] if *function == WRITE | REFUSED => Some(Said::Refused { code: *code }),
        _ => None,
    }
}

/// Why a pump has refused, in words.
pub(crate) fn reason(code: u8) -> &'static str {
    match code {
        NO_SUCH_REGISTER => "it has no such register",
        NO_SUCH_VALUE => "it does not go that fast",
        _ => "it does not say why",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_say_what_registers_hold() {
        let registers =
            Registers { rpm_wanted: 1500, rpm: 1480, pressure: 1520, flow: 592, temperature: 441 };
        assert_eq!(read(&registers.report()), Some(Said::Report(registers)));
        assert_eq!(registers.json()["bar"], 1.52);
        for none in [&[][..], &[7], &[7, 4, 10, 0], &[7, 9, 9], b"PUMP pump-7 clover"] {
            assert_eq!(read(none), None);
        }
    }

    #[test]
    fn a_write_is_repeated_or_refused() {
        let mut registers = Registers::default();
        let frame = write(SPEED, 1200);
        assert_eq!(registers.obey(&frame), Some(frame.clone()));
        assert_eq!(registers.rpm_wanted, 1200);
        assert_eq!(read(&frame), Some(Said::Written { register: 0, value: 1200 }));
        for (frame, code) in [(write(SPEED, 3001), 3), (write(9, 1), 2), (vec![7, 6, 1, 2], 2)] {
            let answer = registers.obey(&frame).expect("it answers");
            assert_eq!(read(&answer), Some(Said::Refused { code }));
        }
        assert_eq!(registers.obey(&[7, 3, 0, 0, 0, 1]), None);
        assert_eq!(registers.rpm_wanted, 1200);
    }
}
