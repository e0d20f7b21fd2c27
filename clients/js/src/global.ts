/** What `<script src="/trefoil.js">` gives a page: all of the client as `trefoil`. */
import { Client, TrefoilError, eventStream, matches, polling, webSocket } from "./index.js";

Object.assign(globalThis, { trefoil: { Client, TrefoilError, eventStream, matches, polling, webSocket } });
