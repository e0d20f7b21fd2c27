//! How well the hub of a world keeps things: what it is told, and what it promises by that.

use trefoil_hub::Keeping;
use trefoil_model::{Durability, Promise, Random};

/// What rules may be for.
const FILTERS: [&str; 9] =
    ["t/0", "t/1", "t/2", "kept/+/0", "kept/+/1", "kept/+/2", "work/0", "work/1", "will/#"];

const ALL: [Durability; 3] = [Durability::Sync, Durability::Interval, Durability::None];

/// Some things are kept better than others.
pub fn draw(random: &mut Random) -> Promise {
    let own = *random.one_of(&[
        Durability::Sync,
        Durability::Sync,
        Durability::Interval,
        Durability::Interval,
        Durability::None,
    ]);
    let rules_percent = *random.one_of(&[0, 40, 80]);
    // Without rules all is as well kept as the sessions are; as well as can be is another kind of world.
    let rules_percent = if own == Durability::Sync { rules_percent.max(40) } else { rules_percent };
    let mut rules = Vec::new();
    for filter in FILTERS {
        if random.chance(rules_percent) {
            rules.push((filter.to_owned(), *random.one_of(&ALL)));
        }
    }
    Promise { own, rules }
}

/// What a hub is told that is to keep a promise.
pub fn keeping(promise: &Promise) -> Keeping {
    let durability = |durability| match durability {
        Durability::Sync => trefoil_hub::Durability::Sync,
        Durability::Interval => trefoil_hub::Durability::Interval,
        Durability::None => trefoil_hub::Durability::None,
    };
    Keeping {
        durability: durability(promise.own),
        rules: promise.rules.iter().map(|(filter, d)| (filter.clone(), durability(*d))).collect(),
        start_ms: 0,
    }
}
