// Now: the figures and the accounts follow the log; the charts are looked at again every 15 seconds, for they cost more.
import { keepLive } from "./live.js";

keepLive(() => ["state", "accounts"], ["state", "charts", "accounts"]);
