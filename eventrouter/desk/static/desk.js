// What every page does: times in the viewer's zone, keys, and questions before something that moves money.

const { base, at } = document.documentElement.dataset;
// after a refused action this is the action's address, which shows nothing: the page goes on from its own
if (at) history.replaceState(null, "", at);
const shapes = {
  time: { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
  day: { year: "numeric", month: "2-digit", day: "2-digit" },
};
const formats = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, new Intl.DateTimeFormat(undefined, shape)]));

/** Writes every <time> below `root` in the viewer's zone; UTC stays in its title. */
export function localTimes(root = document) {
  for (const each of root.querySelectorAll("time[datetime]:not([data-local])")) {
    const at = new Date(each.dateTime);
    each.title = `${each.dateTime.replace("T", " ").replace("+00:00", "")} UTC`;
    const style = each.dataset.style ?? "time";
    if (style === "both") {
      // the time is looked for more often than the day
      const day = document.createElement("span");
      day.className = "quiet";
      day.textContent = formats.day.format(at);
      each.replaceChildren(day, ` ${formats.time.format(at)}`);
    } else {
      each.textContent = formats[style].format(at);
    }
    each.dataset.local = "";
  }
}

// where the focus is in a part: the nearest thing with an id, and which one of its kind below that
function spotOf(place) {
  const field = document.activeElement;
  if (!field || field === place || !place.contains(field)) return undefined;
  const near = field.closest("[id]");
  const kind = field.localName;
  if (!near || !place.contains(near)) return { kind, at: [...place.querySelectorAll(kind)].indexOf(field) };
  return { near: near.id, kind: near === field ? undefined : kind, at: [...near.querySelectorAll(kind)].indexOf(field) };
}

function focusOn(place, spot) {
  const near = spot.near ? document.getElementById(spot.near) : place;
  (spot.kind ? near?.querySelectorAll(spot.kind)[spot.at] : near)?.focus({ preventScroll: true });
}

const shown = new Map();

/** A moment's time of day in the viewer's zone. */
export function timeOf(at) {
  return formats.time.format(at);
}

const LONGEST_MS = 10_000; // a connection that died without a word is no answer either

/** What `renew` throws when nobody is signed in here any more. */
export class SignedOut extends Error {}

/**
 * Fetches a part of this page anew and puts it in place, if `wanted()` still when it is there; where the focus was, it is again.
 * Says whether it could.
 */
export async function renew(name, wanted = () => true) {
  const place = document.querySelector(`[data-fragment="${name}"]`);
  if (!place) return true;
  const address = new URL(location.href);
  address.searchParams.set("fragment", name);
  const answer = await fetch(address, { headers: { Accept: "text/html" }, cache: "no-store", signal: AbortSignal.timeout(LONGEST_MS) });
  if (answer.status === 401) throw new SignedOut();
  if (!answer.ok) return false;
  const text = await answer.text();
  if (!wanted()) return true;
  if (shown.get(name) === text) return true;
  shown.set(name, text);
  const focused = spotOf(place);
  const known = new Set([...place.querySelectorAll("tr[id]")].map((row) => row.id));
  const made = new DOMParser().parseFromString(text, "text/html");
  const opened = [...place.querySelectorAll("details[open][id]")].map((each) => each.id);
  place.replaceChildren(...made.body.childNodes);
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  if (known.size) {
    for (const row of place.querySelectorAll("tr[id]")) if (!known.has(row.id)) row.classList.add("new");
  }
  localTimes(place);
  if (focused) focusOn(place, focused);
  return true;
}

function filledIn(field) {
  if (field.matches("select")) return field.selectedIndex !== Math.max(0, [...field.options].findIndex((each) => each.defaultSelected));
  return !field.matches("[type=checkbox], [type=radio], [type=hidden]") && field.value !== field.defaultValue;
}

/** True while somebody types, has filled in, ticks or marks something there, so that it must not be replaced under their hands. */
export function inUse(name) {
  const place = document.querySelector(`[data-fragment="${name}"]`);
  const field = document.activeElement;
  if (place?.contains(field) && field.matches("input:not([type=checkbox]), select, textarea")) return true;
  if (place && [...place.querySelectorAll("input, select, textarea")].some(filledIn)) return true;
  const marked = getSelection();
  return Boolean(marked && !marked.isCollapsed && place?.contains(marked.anchorNode)) || Boolean(place?.querySelector("input[type=checkbox]:checked"));
}

function rows() {
  return [...document.querySelectorAll("main tbody tr")].filter((row) => row.querySelector("a[href]"));
}

function step(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => row.contains(document.activeElement));
  const next = all[Math.min(all.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
  next.querySelector("a[href]").focus();
  next.scrollIntoView({ block: "nearest" });
}

const places = { n: "/", s: "/signals", d: "/dead", a: "/approvals", e: "/explain", c: "/controls" };
let going = false;

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return;
  if (going) {
    going = false;
    if (places[event.key]) location.assign(base + places[event.key]);
  } else if (event.key === "g") {
    going = true;
    setTimeout(() => { going = false; }, 1500);
  } else if (event.key === "j" || event.key === "k") {
    step(event.key === "j" ? 1 : -1);
  } else if (event.key === "/") {
    const search = document.querySelector("input[type=search]");
    if (!search) return;
    event.preventDefault();
    search.focus();
  } else if (event.key === "?") {
    document.getElementById("keys").showModal();
  }
});

// a filter of choices needs no button
addEventListener("change", (event) => {
  if (event.target.matches("form[data-filter] select, form[data-filter] input:not([type=search])")) event.target.form.requestSubmit();
});

// an empty field of a filter does not belong in an address that is shared
addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-filter]")) return;
  for (const field of event.target.elements) if (!field.value) field.disabled = true;
});

localTimes();
