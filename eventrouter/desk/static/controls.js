// Controls: what stands, what a control would meet, and how a flattening goes. No log row tells of all that, so it is looked at often.
import { keepLive } from "./live.js";

const places = [...document.querySelectorAll("[data-fragment]")];
const names = places.map((place) => place.dataset.fragment);
const everyS = Math.min(5, ...places.map((place) => Number(place.dataset.every ?? 5)));
keepLive(() => names, names, everyS);
