//! Any records as what a hub has written down: refused, or shards that can go on, never a panic. What these write at their
//! start is good.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use trefoil_hub::{Image, Keeping, Limits, Shared, Time, restore};

fuzz_target!(|records: Vec<Vec<u8>>| {
    let mut image = Image::new(1_000_000);
    for record in &records {
        let _ = image.read(record);
    }
    let shared = Shared::new(2, 1, Limits::default());
    let shared = Arc::new(shared.with_keeping(Keeping::default(), image.next_number()));
    let (shards, record) = restore(image, &shared, Time::from_ms(5));
    assert_eq!(shards.len(), 2);
    Image::new(0).read(&record).expect("what is written at a start is good");
});
