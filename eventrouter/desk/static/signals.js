// The list of signals: live, and its times in the viewer's zone. A search is looked at again only every 15 seconds: it costs more.
import { keepLive } from "./live.js";

const list = document.querySelector('[data-fragment="list"]');
keepLive(() => ("slow" in list.dataset ? [] : ["list"]), ["list"]);

// on a phone the filters would push the list off the screen, unless some are set
const narrow = matchMedia("(max-width: 40rem)");
const more = document.querySelector(".filter .more");
const fold = () => { more.open = !narrow.matches || "filtered" in more.closest("form").dataset; };
narrow.addEventListener("change", fold);
fold();

const local = (at) => new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
const parsed = (text) => new Date(/(Z|[+-]\d\d:?\d\d)$/.test(text) ? text : `${text}Z`);

// the address has UTC, so that it means the same to whoever it is sent to; the fields show the viewer's own time
for (const field of document.querySelectorAll("input[type=datetime-local]")) {
  const at = parsed(field.dataset.utc);
  field.value = field.dataset.utc && !Number.isNaN(at.getTime()) ? local(at) : "";
  field.closest("label").querySelector("[data-zone]").textContent = "(your time)";
}

document.querySelector("form[data-filter]").addEventListener("formdata", (event) => {
  for (const name of ["from", "to"]) {
    const text = event.formData.get(name);
    if (text) event.formData.set(name, new Date(text).toISOString().replace(/:\d\d\.\d+Z$/, "Z"));
  }
});
