//! The list of sessions, and the end of one from outside.

use super::*;

fn survey(world: &World, order: SessionOrder, sessions_max: usize, steps: usize) -> Vec<SessionReport> {
    let mut survey = SessionSurvey::new(order, sessions_max);
    loop {
        if let Some(found) = world.shards[0].go_on_with_survey(world.now, &mut survey, steps) {
            return found;
        }
    }
}

fn names(found: &[SessionReport]) -> Vec<&str> {
    found.iter().map(|session| &*session.client_id).collect()
}

#[test]
fn the_largest_sessions_come_first_however_small_the_steps() {
    let mut world = World::new(1);
    for n in 0..10 {
        let client = world.lasting(0, &format!("c{n}"));
        world.subscribe(client, &format!("to/{n}"), QoS::AtLeastOnce);
        world.leave(client, Ending::Normal { expiry_s: None });
    }
    world.connect(0, "publisher");
    for n in [3, 7, 7, 5, 7, 5] {
        world.publish(0, &format!("to/{n}"), "x", QoS::AtLeastOnce);
    }
    for steps in [1, 3, 100] {
        // Those that have nothing are equals.
        let found = survey(&world, SessionOrder::Bytes, 6, steps);
        assert_eq!(names(&found), ["c7", "c5", "c3", "c0", "c1", "c2"], "{steps}");
        let found = survey(&world, SessionOrder::Bytes, 3, steps);
        assert_eq!(names(&found), ["c7", "c5", "c3"], "{steps}");
        assert_eq!((found[0].queued, found[0].in_flight, found[0].subscriptions), (3, 0, 1));
        assert!(found[0].queued_bytes > found[1].queued_bytes && !found[0].is_connected);
    }
    assert_eq!(survey(&world, SessionOrder::Bytes, 100, 2).len(), 11);
}

#[test]
fn how_long_a_client_is_away_counts_from_its_goodbye() {
    let mut world = World::with(1, Limits { session_expiry_s_max: u32::MAX, ..Limits::default() });
    let early = world.lasting(0, "early");
    let late = world.lasting(0, "late");
    world.leave(early, Ending::Normal { expiry_s: Some(50) });
    world.pass(10);
    world.leave(late, Ending::Lost);
    world.pass(5);
    world.connect(0, "here");
    // One that never ends has gone, too.
    let endless = world.connect_as(0, "endless", |c| (c.clean_start, c.expiry_s) = (false, u32::MAX));
    world.leave(endless, Ending::Lost);
    world.pass(2);
    let found = survey(&world, SessionOrder::Away, 9, 9);
    assert_eq!(names(&found), ["early", "late", "endless", "here"]);
    // Lists of several shards are joined, each of which looks at a moment of its own.
    let ranks = |found: &[SessionReport]| -> Vec<u64> {
        found.iter().map(|session| SessionOrder::Away.rank(session)).collect()
    };
    let before = ranks(&found);
    world.pass(3);
    assert_eq!(ranks(&survey(&world, SessionOrder::Away, 9, 9)), before);
    let last = &found[2];
    assert_eq!((last.away_ms, last.ends_in_ms, last.expiry_s), (Some(2_000), None, u32::MAX));
    let found: Vec<_> = found.into_iter().filter(|s| &*s.client_id != "endless").collect();
    let times: Vec<_> = found.iter().map(|s| (s.away_ms, s.ends_in_ms)).collect();
    assert_eq!(times, [(Some(17_000), Some(33_000)), (Some(7_000), Some(93_000)), (None, None)]);
}

#[test]
fn a_session_that_is_ended_is_gone_with_all_it_had() {
    let mut world = World::new(1);
    let client = world.lasting(0, "c");
    world.subscribe(client, "t", QoS::AtLeastOnce);
    assert_eq!(world.shards[0].connection(client.session), Some(ConnectionKey(client.connection)));
    world.shards[0].end_session(world.now, client.session, &mut world.out);
    assert!(!world.shards[0].has_session("c"));
    assert_eq!((world.shards[0].subscription_count(), world.shards[0].connected_count()), (0, 0));
    assert!(!world.lasting(0, "c").present);
}
