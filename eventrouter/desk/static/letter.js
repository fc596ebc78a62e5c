// One dead letter: everything on it follows its task's log.
import { keepLive } from "./live.js";

const id = Number(document.querySelector('[data-fragment="state"]').dataset.task);
keepLive((row) => (row.task_id === id ? ["state"] : []), ["state"]);
