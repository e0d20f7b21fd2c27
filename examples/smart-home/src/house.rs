//! Which devices there are, and where.

use crate::kind::Model;

/// `ROOM/DEVICE`, as in its topics, and what it is.
pub(crate) const DEVICES: [(&str, Model); 18] = [
    ("living-room/ceiling-lamp", Model::Lamp),
    ("living-room/floor-lamp", Model::Lamp),
    ("living-room/blind", Model::Blind),
    ("living-room/heating", Model::Thermostat),
    ("living-room/window", Model::Contact),
    ("kitchen/ceiling-lamp", Model::Lamp),
    ("kitchen/blind", Model::Blind),
    ("kitchen/window", Model::Contact),
    ("hall/ceiling-lamp", Model::Lamp),
    ("hall/front-door", Model::Contact),
    ("hall/motion", Model::Motion),
    ("bedroom/bedside-lamp", Model::Lamp),
    ("bedroom/blind", Model::Blind),
    ("bedroom/heating", Model::Thermostat),
    ("bedroom/window", Model::Contact),
    ("bathroom/mirror-lamp", Model::Lamp),
    ("bathroom/heating", Model::Thermostat),
    ("bathroom/motion", Model::Motion),
];
