// The console. `monitor.js` watches the hub and fills figures and tree; `panel.js` publishes and subscribes for the
// reader; `snippets.js` shows how other clients get in. Each stands on `connection.js` alone. `playground.js` has a
// WebSocket of the reader's own. `sessions.js` lists the largest sessions by the HTTP API, `admin.js` bans and users.

import { Bans, Users } from "./admin.js";
import { Monitor } from "./monitor.js";
import { Panel } from "./panel.js";
import { Playground } from "./playground.js";
import { Sessions } from "./sessions.js";
import { showSnippets } from "./snippets.js";

const $ = (id) => document.getElementById(id);

showSnippets();
new Playground();
new Sessions();
new Bans();
new Users();
const panel = new Panel();
const { view } = new Monitor(showSnippets);

$("detail-subscribe").addEventListener("click", () => panel.subscribeTo(view.selected));
$("detail-publish").addEventListener("click", () => panel.publishTo(view.selected));
