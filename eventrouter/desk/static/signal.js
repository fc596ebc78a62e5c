// One signal: its accounts follow the log of its tasks.
import { keepLive } from "./live.js";

const id = Number(document.querySelector('[data-fragment="outcome"]').dataset.signal);
keepLive((row) => (row.signal_id === id ? ["outcome"] : []), ["outcome"]);
