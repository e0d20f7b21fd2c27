//! What the vehicles know, held against what the centre has counted.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde_json::{Value, json};

use crate::centre::Centre;
use crate::centre::tally::{Heard, Tally};
use crate::device::{Device, Sort};
use crate::link::Faults;
use crate::sequence::Sequence;
use crate::vehicle::{Log, Vehicle};

/// The comparison. [`Report::is_sound`] says whether all promises were kept.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) vehicles: usize,
    #[serde(flatten)]
    pub(crate) positions: Count,
    /// Not numbered and not published, since the vehicle's own queue was full.
    pub(crate) skipped: u64,
    pub(crate) orders: Orders,
    /// Connections that vehicles have made.
    pub(crate) connections: u64,
    /// How often a will said that a vehicle is out of contact.
    pub(crate) contact_losses: u64,
    pub(crate) link: LinkFaults,
    pub(crate) devices: Devices,
}

/// Something that was numbered by who published it, and counted by who received it.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Count {
    pub(crate) published: u64,
    /// Different ones.
    pub(crate) received: u64,
    /// Published and not received.
    pub(crate) missing: u64,
    /// Received and never published.
    pub(crate) strange: u64,
    /// Received before one that was published earlier.
    pub(crate) out_of_order: u64,
    /// Received again, as QoS 1 allows.
    pub(crate) repeated: u64,
}

/// What became of the orders.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Orders {
    pub(crate) given: u64,
    /// To vehicles that were out of contact at that time.
    pub(crate) given_while_away: u64,
    pub(crate) executed: u64,
    pub(crate) confirmed: u64,
    /// Given and not carried out, or not confirmed.
    pub(crate) missing: u64,
    pub(crate) executed_twice: u64,
    pub(crate) confirmed_twice: u64,
}

/// What the links have done to it all.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct LinkFaults {
    pub(crate) cuts: u64,
    pub(crate) tunnels: u64,
    pub(crate) stalls: u64,
    pub(crate) packets_lost: u64,
}

/// What became of what the small devices sent and were sent.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Devices {
    pub(crate) boards: u64,
    pub(crate) counters: u64,
    /// Notices for boards, and tickets of counters.
    #[serde(flatten)]
    pub(crate) messages: Count,
    pub(crate) connections: u64,
    /// How often boards woke up to take what had come.
    pub(crate) wakes: u64,
    pub(crate) datagrams_lost: u64,
    pub(crate) datagrams_doubled: u64,
    pub(crate) datagrams_overtaken: u64,
    /// How often the hub saw a device come from another address.
    pub(crate) other_addresses: u64,
}

impl Report {
    pub(crate) fn new(centre: &Centre) -> Report {
        let tally = centre.tally();
        let mut report = Report { vehicles: centre.vehicles.len(), ..Report::default() };
        for vehicle in &centre.vehicles {
            report.link.add(&vehicle.link.faults);
            report.add(vehicle, &vehicle.log(), &tally);
        }
        report.add_devices(centre, &tally);
        report
    }

    fn add_devices(&mut self, centre: &Centre, tally: &Tally) {
        for device in &centre.devices {
            self.devices.add(device, tally);
        }
    }

    fn add(&mut self, vehicle: &Vehicle, log: &Log, tally: &Tally) {
        let unheard = Heard::default();
        let heard = tally.heard.get(&vehicle.name).unwrap_or(&unheard);
        self.add_positions(log, heard);
        let given = tally.orders.iter().filter(|(_, given)| given.vehicle == vehicle.name);
        self.orders.add(log, given);
    }

    fn add_positions(&mut self, log: &Log, heard: &Heard) {
        self.positions.add(log.positions, &heard.positions);
        self.skipped += log.skipped;
        self.connections += log.connections;
        self.contact_losses += heard.losses;
    }

    /// Nothing is missing, out of order, or has happened twice.
    pub(crate) fn is_sound(&self) -> bool {
        let orders = &self.orders;
        let order_faults = [orders.missing, orders.executed_twice, orders.confirmed_twice];
        self.positions.is_sound()
            && self.devices.messages.is_sound()
            && order_faults.iter().all(|count| *count == 0)
    }

    /// As one line of JSON.
    pub(crate) fn json(&self) -> Value {
        let mut value = json!(self);
        value["sound"] = self.is_sound().into();
        value
    }
}

impl Count {
    fn add(&mut self, published: u64, received: &Sequence) {
        self.published += published;
        self.received += received.count();
        self.missing += published.saturating_sub(received.count());
        self.strange += received.count().saturating_sub(published);
        self.out_of_order += received.out_of_order;
        self.repeated += received.repeated;
    }

    fn is_sound(&self) -> bool {
        self.missing + self.strange + self.out_of_order == 0
    }
}

impl Orders {
    fn add<'a>(
        &mut self,
        log: &Log,
        given: impl Iterator<Item = (&'a u64, &'a crate::centre::tally::Given)>,
    ) {
        let mut known = 0;
        for (id, given) in given {
            let executed = log.executed.get(id).copied().unwrap_or(0);
            known += usize::from(executed > 0);
            self.given += 1;
            self.given_while_away += u64::from(given.while_away);
            self.executed += u64::from(executed > 0);
            self.confirmed += u64::from(given.confirmed > 0);
            self.missing += u64::from(executed == 0 || given.confirmed == 0);
            self.executed_twice += u64::from(executed > 1);
            self.confirmed_twice += u64::from(given.confirmed > 1);
        }
        // What nobody has ordered was carried out once too often.
        self.executed_twice += (log.executed.len() - known) as u64;
    }
}

impl Devices {
    fn add(&mut self, device: &Device, tally: &Tally) {
        let memory = device.memory();
        let unheard = Sequence::default();
        let (published, received) = match device.sort {
            Sort::Board => {
                self.boards += 1;
                (tally.notices.get(&device.name).copied().unwrap_or(0), &memory.shown)
            }
            Sort::Counter => {
                self.counters += 1;
                (memory.sold, tally.tickets.get(&device.name).unwrap_or(&unheard))
            }
        };
        self.messages.add(published, received);
        self.connections += memory.connections;
        self.wakes += memory.wakes;
        let faults = &device.link.faults;
        self.datagrams_lost += get(&faults.lost);
        self.datagrams_doubled += get(&faults.doubled);
        self.datagrams_overtaken += get(&faults.overtaken);
        self.other_addresses += get(&faults.cuts);
    }
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl LinkFaults {
    fn add(&mut self, faults: &Faults) {
        self.cuts += get(&faults.cuts);
        self.tunnels += get(&faults.tunnels);
        self.stalls += get(&faults.stalls);
        self.packets_lost += get(&faults.lost);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { positions, orders, link, .. } = self;
        writeln!(
            f,
            "{} vehicles over links with {} cuts, {} tunnels, {} stalls and {} lost packets; {} connections, \
             {} times out of contact",
            self.vehicles,
            link.cuts,
            link.tunnels,
            link.stalls,
            link.packets_lost,
            self.connections,
            self.contact_losses
        )?;
        writeln!(
            f,
            "positions: {} published, {} received, {} missing, {} out of order; {} repeated, as QoS 1 allows",
            positions.published,
            positions.received,
            positions.missing,
            positions.out_of_order,
            positions.repeated
        )?;
        writeln!(
            f,
            "orders: {} given ({} while the vehicle was away), {} carried out, {} confirmed; {} twice",
            orders.given,
            orders.given_while_away,
            orders.executed,
            orders.confirmed,
            orders.executed_twice + orders.confirmed_twice
        )?;
        let devices = &self.devices;
        if devices.boards + devices.counters > 0 {
            writeln!(
                f,
                "at stops: {} boards and {} counters over MQTT-SN, {} messages, {} missing, {} repeated; {} datagrams lost, \
                 {} doubled, {} late, {} new addresses",
                devices.boards,
                devices.counters,
                devices.messages.published,
                devices.messages.missing,
                devices.messages.repeated,
                devices.datagrams_lost,
                devices.datagrams_doubled,
                devices.datagrams_overtaken,
                devices.other_addresses
            )?;
        }
        if self.skipped > 0 {
            writeln!(f, "{} positions found the vehicle's own queue full and were not taken", self.skipped)?;
        }
        f.write_str(if self.is_sound() { "nothing is missing" } else { "SOMETHING IS WRONG" })
    }
}

/// What the page shows, beside what it hears itself.
pub(crate) fn state(centre: &Centre) -> Value {
    let mut report = Report { vehicles: centre.vehicles.len(), ..Report::default() };
    let tally = centre.tally();
    let rows: Vec<Value> = centre
        .vehicles
        .iter()
        .map(|vehicle| {
            let log = vehicle.log();
            let mut own = Report::default();
            own.add(vehicle, &log, &tally);
            own.link.add(&vehicle.link.faults);
            report.add(vehicle, &log, &tally);
            report.link.add(&vehicle.link.faults);
            let mut row = json!(own);
            row["name"] = vehicle.name.as_str().into();
            row["gaps"] = tally.heard.get(&vehicle.name).map_or(0, |heard| heard.positions.gaps()).into();
            row["waiting"] = log.unsettled.into();
            row["tunnel_s"] = vehicle.link.tunnel_left().map_or(0.0, |left| left.as_secs_f64()).into();
            row
        })
        .collect();
    report.add_devices(centre, &tally);
    let devices: Vec<Value> = centre.devices.iter().map(|device| device_row(device, &tally)).collect();
    let quality = *centre.network.quality.borrow();
    json!({ "total": report, "vehicles": rows, "devices": devices, "quality": quality })
}

fn device_row(device: &Device, tally: &Tally) -> Value {
    let mut own = Devices::default();
    own.add(device, tally);
    let memory = device.memory();
    let text = match device.sort {
        Sort::Board => memory.text.clone(),
        Sort::Counter => format!("{} tickets", own.messages.received),
    };
    let mut row = json!(own);
    row["stop"] = device.stop.name.into();
    row["sort"] = json!(device.sort);
    row["state"] = json!(memory.state);
    row["text"] = text.into();
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(positions: u64, executed: &[(u64, u32)]) -> Log {
        Log { positions, executed: executed.iter().copied().collect(), ..Log::default() }
    }

    fn heard(numbers: &[u64]) -> Heard {
        let mut heard = Heard::default();
        numbers.iter().for_each(|number| heard.positions.take(*number));
        heard
    }

    fn orders(executed: &[(u64, u32)], confirmed: &[u32]) -> Report {
        let mut tally = Tally::new(["v"]);
        for times in confirmed {
            tally.contact("v", true);
            let id = tally.give("v");
            (0..*times).for_each(|_| tally.confirm("v", id.expect("it is in service")));
        }
        let mut report = Report::default();
        report.orders.add(&log(0, executed), tally.orders.iter());
        report
    }

    #[test]
    fn what_is_missing_strange_or_out_of_order_is_unsound_and_what_is_repeated_is_not() {
        for (positions, numbers, is_sound) in [
            (3, &[1, 2, 3][..], true),
            (3, &[1, 2, 1, 2, 3], true),
            (3, &[1, 2], false),
            (3, &[1, 3], false),
            (3, &[1, 3, 2], false),
            (2, &[1, 2, 3], false),
        ] {
            let mut report = Report::default();
            report.add_positions(&log(positions, &[]), &heard(numbers));
            assert_eq!(report.is_sound(), is_sound, "{positions} published, {numbers:?} received");
        }
    }

    #[test]
    fn an_order_is_carried_out_and_confirmed_once() {
        assert!(orders(&[(1, 1), (2, 1)], &[1, 1]).is_sound());
        assert!(!orders(&[(1, 1)], &[1, 1]).is_sound(), "not carried out");
        assert!(!orders(&[(1, 1)], &[0]).is_sound(), "not confirmed");
        assert!(!orders(&[(1, 2)], &[1]).is_sound(), "carried out twice");
        assert!(!orders(&[(1, 1)], &[2]).is_sound(), "confirmed twice");
        assert!(!orders(&[(1, 1), (9, 1)], &[1]).is_sound(), "carried out and never given");
        assert_eq!(orders(&[(1, 1)], &[1]).json()["sound"], true);
    }
}
