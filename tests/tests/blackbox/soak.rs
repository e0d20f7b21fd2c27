//! Whatever came and went, nothing of it is left. `cargo xtask soak` does the same for longer.

use trefoil_tests::soak::Soak;

/// So many cycles in a row have to leave nothing.
const CYCLES: usize = 3;

/// Buffers may reach a new height now and then, as when much waits for the disk at once. What is lost grows with every
/// cycle.
const RISES_MAX: usize = 3;

#[test]
fn nothing_is_left_of_what_came_and_went() {
    let mut soak = Soak::start(1);
    eprintln!("at the start: {}", soak.level_at_start());
    let (mut calm, mut rises) = (0, 0);
    while calm < CYCLES {
        let (done, level) = soak.cycle();
        eprintln!("{done:?}\n  then: {level}");
        assert!(
            done.resets > 100 && done.subscriptions > 100 && done.retained > 100,
            "little was tried: {done:?}"
        );
        soak.check_counts(&level).unwrap();
        match soak.check(&level) {
            Ok(()) => calm += 1,
            Err(why) => {
                rises += 1;
                assert!(rises <= RISES_MAX, "in {rises} cycles: {why}");
                calm = 0;
                soak.measure_from(level);
            }
        }
    }
}
