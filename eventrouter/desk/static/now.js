// Now: everything follows the log; the charts at most every three seconds, for they cost more.
import { keepLive } from "./live.js";

const parts = ["state", "charts", "accounts"];
keepLive(() => parts, parts, 15, { charts: 3 });
