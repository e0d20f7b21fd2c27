//! Whatever came and went, nothing of it is left. `cargo xtask soak` does the same for longer.

use trefoil_tests::soak::Soak;

#[test]
fn nothing_is_left_of_what_came_and_went() {
    let mut soak = Soak::start(1);
    eprintln!("at the start: {}", soak.level_at_start());
    for _ in 0..3 {
        let (done, level) = soak.cycle();
        eprintln!("{done:?}\n  then: {level}");
        soak.check(&level).unwrap();
        assert!(
            done.resets > 100 && done.subscriptions > 100 && done.retained > 100,
            "little was tried: {done:?}"
        );
    }
}
