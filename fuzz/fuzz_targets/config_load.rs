//! Any text as a configuration, with one variable of the environment: read or refused, never a panic.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str, &str)| {
    let (text, name, value) = input;
    let variable = (format!("TREFOIL_{name}"), value.to_owned());
    match trefoil_config::load(Some((Path::new("fuzz.toml"), text)), &mut std::iter::once(variable)) {
        Ok(config) => assert!(!config.listeners.is_empty()),
        Err(problems) => assert!(!problems.to_string().is_empty()),
    }
});
