//! A delivery as it is written down.

use super::{HAS_GROUP, Ids, Stored, flag, qos};
use crate::journal::wire::{Reader, Unreadable, put_bytes, put_number};

const RETAIN: u8 = 0b0100;
const HAS_IDS: u8 = 0b1000;
const TRIED: u8 = 0b10_0000;

impl<'a> Stored<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_number(self.message, out);
        let ids = self.subscription_ids.as_slice();
        let flags = self.qos as u8
            | flag(RETAIN, self.retain)
            | flag(HAS_IDS, !ids.is_empty())
            | flag(HAS_GROUP, self.group.is_some())
            | flag(TRIED, self.was_tried);
        out.push(flags);
        if !ids.is_empty() {
            put_number(ids.len() as u64, out);
            ids.iter().for_each(|&id| put_number(id.into(), out));
        }
        encode_group(self.group, out);
    }

    pub(super) fn decode(record: &mut Reader<'a>) -> Result<Stored<'a>, Unreadable> {
        let (message, flags) = (record.number()?, record.byte()?);
        let mut ids = Vec::new();
        if flags & HAS_IDS != 0 {
            for _ in 0..record.number()? {
                ids.push(record.small()?);
            }
        }
        let group = decode_group(record, flags)?;
        let (qos, retain, was_tried) = (qos(flags)?, flags & RETAIN != 0, flags & TRIED != 0);
        Ok(Stored { message, qos, retain, was_tried, subscription_ids: Ids::Read(ids), group })
    }
}

pub(super) fn encode_group(group: Option<(&str, &str)>, out: &mut Vec<u8>) {
    if let Some((name, filter)) = group {
        put_bytes(name.as_bytes(), out);
        put_bytes(filter.as_bytes(), out);
    }
}

pub(super) fn decode_group<'a>(
    record: &mut Reader<'a>,
    flags: u8,
) -> Result<Option<(&'a str, &'a str)>, Unreadable> {
    Ok(match flags & HAS_GROUP {
        0 => None,
        _ => Some((record.text()?, record.text()?)),
    })
}
