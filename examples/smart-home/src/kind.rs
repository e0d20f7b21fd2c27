//! The kinds of devices: what they are told, what they do by themselves, and how they say how they stand. No socket
//! and no clock: commands, scenes and the passing of time go in, the state comes out.

use fastrand::Rng;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::scene::Scene;

/// How often [`Kind::step`] is called in a second.
pub(crate) const STEPS_PER_S: u32 = 5;
/// How far a blind gets in a step, in percent.
const BLIND_STEP: u8 = 10;
/// How long a thermostat takes for a tenth of a degree.
const STEPS_PER_TENTH: u32 = 2 * STEPS_PER_S;
/// How long a motion sensor reports somebody after it has seen them.
const MOTION_STEPS: u32 = 4 * STEPS_PER_S;

/// What is in the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    Lamp,
    Blind,
    Thermostat,
    Contact,
    Motion,
}

/// What a device is and how it stands: what its state topic holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Kind {
    /// `brightness` stays what it was while the lamp is off.
    Lamp {
        on: bool,
        brightness: u8,
    },
    /// Percent open, and where it goes.
    Blind {
        position: u8,
        target: u8,
    },
    Thermostat {
        measured: f64,
        target: f64,
        #[serde(skip)]
        steps: u32,
    },
    Contact {
        open: bool,
    },
    Motion {
        motion: bool,
        #[serde(skip)]
        steps: u32,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetLamp {
    on: Option<bool>,
    brightness: Option<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetBlind {
    position: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetThermostat {
    target: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetContact {
    open: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetMotion {
    motion: bool,
}

impl Model {
    /// As it comes out of its box.
    pub(crate) fn unpack(self) -> Kind {
        match self {
            Self::Lamp => Kind::Lamp { on: false, brightness: 60 },
            Self::Blind => Kind::Blind { position: 100, target: 100 },
            Self::Thermostat => Kind::Thermostat { measured: 19.5, target: 20.0, steps: 0 },
            Self::Contact => Kind::Contact { open: false },
            Self::Motion => Kind::Motion { motion: false, steps: 0 },
        }
    }
}

impl Kind {
    /// Does what a command says; the error says what is wrong with it, and then nothing is changed.
    pub(crate) fn set(&mut self, payload: &[u8]) -> Result<(), String> {
        match self {
            Self::Lamp { on, brightness } => {
                let command: SetLamp = parse(payload)?;
                if command.brightness.is_some_and(|percent| !(1..=100).contains(&percent)) {
                    return Err("brightness is from 1 to 100".into());
                }
                *brightness = command.brightness.unwrap_or(*brightness);
                *on = command.on.unwrap_or(*on || command.brightness.is_some());
            }
            Self::Blind { target, .. } => {
                let SetBlind { position } = parse(payload)?;
                if position > 100 {
                    return Err("position is from 0 to 100".into());
                }
                *target = position;
            }
            Self::Thermostat { target, .. } => {
                let SetThermostat { target: degrees } = parse(payload)?;
                if !(5.0..=30.0).contains(&degrees) {
                    return Err("target is from 5 to 30".into());
                }
                *target = (degrees * 2.0).round() / 2.0;
            }
            // Nobody commands a sensor. This is the hand on the door.
            Self::Contact { open } => *open = parse::<SetContact>(payload)?.open,
            Self::Motion { motion, steps } => {
                *motion = parse::<SetMotion>(payload)?.motion;
                *steps = 0;
            }
        }
        Ok(())
    }

    /// Does what a scene asks of a device at this place.
    pub(crate) fn enter(&mut self, scene: Scene, place: &str) {
        match self {
            Self::Lamp { on, brightness } => {
                let percent = scene.brightness(place);
                *on = percent > 0;
                if percent > 0 {
                    *brightness = percent;
                }
            }
            Self::Blind { target, .. } => *target = scene.position(place).unwrap_or(*target),
            Self::Thermostat { target, .. } => *target = scene.target(place).unwrap_or(*target),
            Self::Contact { .. } | Self::Motion { .. } => {}
        }
    }

    /// Whether scenes mean anything to it.
    pub(crate) fn follows_scenes(&self) -> bool {
        !matches!(self, Self::Contact { .. } | Self::Motion { .. })
    }

    /// Whether it is where it was told to be. Only a blind takes its time.
    pub(crate) fn is_settled(&self) -> bool {
        !matches!(self, Self::Blind { position, target } if position != target)
    }

    /// The passing of one step of time; whether the state is another one now. `chance` decides what people do; without
    /// it nobody is at home.
    pub(crate) fn step(&mut self, chance: Option<&mut Rng>) -> bool {
        let before = self.clone();
        match self {
            Self::Lamp { .. } => {}
            Self::Blind { position, target } => {
                let distance = position.abs_diff(*target).min(BLIND_STEP);
                *position = if *position < *target { *position + distance } else { *position - distance };
            }
            Self::Thermostat { measured, target, steps } => {
                *steps = (*steps + 1) % STEPS_PER_TENTH;
                if *steps == 0 {
                    let tenths = ((*target - *measured) * 10.0).round().clamp(-1.0, 1.0);
                    *measured = ((*measured * 10.0).round() + tenths) / 10.0;
                }
            }
            Self::Contact { open } => {
                // Open for some ten seconds, shut for some two minutes.
                let seconds = if *open { 10 } else { 120 };
                *open ^= chance.is_some_and(|it| it.u32(0..seconds * STEPS_PER_S) == 0);
            }
            Self::Motion { motion, steps } => {
                *steps = steps.saturating_sub(1);
                if chance.is_some_and(|it| it.u32(0..20 * STEPS_PER_S) == 0) {
                    (*motion, *steps) = (true, MOTION_STEPS);
                } else if *steps == 0 {
                    *motion = false;
                }
            }
        }
        self.is_other(&before)
    }

    /// Whether somebody who reads the state sees a difference.
    fn is_other(&self, before: &Self) -> bool {
        match (self, before) {
            (Self::Thermostat { measured, .. }, Self::Thermostat { measured: earlier, .. }) => {
                measured != earlier
            }
            (Self::Motion { motion, .. }, Self::Motion { motion: earlier, .. }) => motion != earlier,
            _ => self != before,
        }
    }
}

fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<T, String> {
    serde_json::from_slice(payload).map_err(|error| error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn json(kind: &Kind) -> String {
        serde_json::to_string(kind).unwrap()
    }

    #[test]
    fn commands_change_what_they_name() {
        let mut lamp = Model::Lamp.unpack();
        lamp.set(br#"{"brightness":35}"#).unwrap();
        assert_eq!(json(&lamp), r#"{"kind":"lamp","on":true,"brightness":35}"#);
        lamp.set(br#"{"on":false}"#).unwrap();
        assert_eq!(json(&lamp), r#"{"kind":"lamp","on":false,"brightness":35}"#);
        let mut heating = Model::Thermostat.unpack();
        heating.set(br#"{"target":22.3}"#).unwrap();
        assert_eq!(json(&heating), r#"{"kind":"thermostat","measured":19.5,"target":22.5}"#);
    }

    #[test]
    fn nonsense_changes_nothing() {
        for (model, payload) in [
            (Model::Lamp, &br#"{"brightness":0}"#[..]),
            (Model::Lamp, br#"{"brightness":101,"on":true}"#),
            (Model::Lamp, br#"{"colour":"red"}"#),
            (Model::Blind, br#"{"position":200}"#),
            (Model::Blind, b"down"),
            (Model::Thermostat, br#"{"target":99}"#),
            (Model::Contact, b"\xff\xfe"),
            (Model::Motion, b""),
        ] {
            let mut kind = model.unpack();
            assert!(kind.set(payload).is_err(), "{model:?}");
            assert_eq!(kind, model.unpack());
        }
    }

    #[test]
    fn a_blind_moves_and_arrives() {
        let mut blind = Model::Blind.unpack();
        blind.enter(Scene::Movie, "living-room/blind");
        let mut positions = Vec::new();
        while !blind.is_settled() {
            assert!(blind.step(None));
            let Kind::Blind { position, .. } = blind else { unreachable!("it stays a blind") };
            positions.push(position);
        }
        assert_eq!(positions, [90, 80, 70, 60, 50, 40, 30, 20, 10, 0]);
        assert!(!blind.step(None));
    }

    #[test]
    fn a_room_gets_warm() {
        let mut heating = Model::Thermostat.unpack();
        let changes = (0..STEPS_PER_TENTH * 20).filter(|_| heating.step(None)).count();
        assert_eq!(changes, 5);
        assert!(matches!(heating, Kind::Thermostat { measured, .. } if measured == 20.0));
    }

    #[test]
    fn people_are_seen_for_a_while_and_only_when_there_are_any() {
        let mut motion = Model::Motion.unpack();
        assert!((0..10_000).all(|_| !motion.step(None)));
        let mut chance = Rng::with_seed(7);
        while !motion.step(Some(&mut chance)) {}
        assert_eq!(json(&motion), r#"{"kind":"motion","motion":true}"#);
        assert_eq!((0..MOTION_STEPS).filter(|_| motion.step(None)).count(), 1);
        assert_eq!(json(&motion), r#"{"kind":"motion","motion":false}"#);
    }

    #[test]
    fn scenes_set_lamps_and_heating_and_leave_sensors_alone() {
        let entered = |model: Model, scene, place| {
            let mut kind = model.unpack();
            kind.enter(scene, place);
            json(&kind)
        };
        assert!(
            entered(Model::Lamp, Scene::Movie, "living-room/floor-lamp")
                .contains(r#""on":true,"brightness":15"#)
        );
        assert!(
            entered(Model::Lamp, Scene::Off, "living-room/floor-lamp")
                .contains(r#""on":false,"brightness":60"#)
        );
        assert!(entered(Model::Thermostat, Scene::Night, "bedroom/heating").contains(r#""target":17.0"#));
        assert_eq!(entered(Model::Contact, Scene::Night, "hall/front-door"), json(&Model::Contact.unpack()));
    }
}
