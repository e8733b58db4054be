// What the worklist shows and in which order: chosen in a form, kept in the address, so that a tab can be
// bookmarked. The text that is searched for is a patient's name: it stays out of addresses and histories.

import { ai, getJson } from "./api.js";
import { h } from "./dom.js";
import { t } from "./words.js";

const CHOICES = {
  state: ["done", "rejected", "failed", "waiting"],
  modality: ["xray", "ct"],
  impression: ["positive", "borderline", "negative"],
  order: ["latest", "newest", "oldest", "urgency", "state"],
};
const IN_ADDRESS = ["state", "modality", "impression", "station", "day", "order"];
const MOST_STATION = 64;

/** What is wanted now; empty values want everything, in the order of "latest". */
export const wanted = { text: "", ...Object.fromEntries(IN_ADDRESS.map((name) => [name, ""])) };

/** The address of the worklist as it was last seen, for links back to it. */
export function worklistAddress() {
  const query = new URLSearchParams(IN_ADDRESS.filter((name) => wanted[name]).map((name) => [name, wanted[name]]));
  return query.size ? `#/?${query}` : "#/";
}

/** Want what an address says; whether that is something else than before. */
export function readAddress(hash) {
  const before = worklistAddress();
  const query = new URLSearchParams(hash.split("?")[1] ?? "");
  for (const name of IN_ADDRESS) wanted[name] = sound(name, query.get(name) ?? "");
  return worklistAddress() !== before;
}

function sound(name, value) {
  if (name === "day") return /^\d{4}-\d\d-\d\d$/.test(value) ? value : "";
  if (name === "station") return value.slice(0, MOST_STATION);
  return CHOICES[name].includes(value) ? value : "";
}

/** What is asked of the route, the search for a text apart. */
export function query() {
  const asked = new URLSearchParams();
  for (const name of ["state", "modality", "impression", "station", "order"]) {
    if (wanted[name]) asked.set(name, wanted[name]);
  }
  if (wanted.day) {
    const day = new Date(`${wanted.day}T00:00`);
    asked.set("from", day.getTime() / 1000);
    asked.set("to", new Date(day.getFullYear(), day.getMonth(), day.getDate() + 1).getTime() / 1000);
  }
  return asked;
}

/** The form. `changed(wait)` is called when something else is wanted; `wait`: milliseconds until it counts. */
export function filters(changed) {
  const note = (wait) => {
    history.replaceState(null, "", worklistAddress());
    changed(wait);
  };
  const change = (name) => (event) => {
    wanted[name] = event.target.value;
    note(name === "text" ? 300 : 0);
  };
  const field = (name, input) => h("label", { for: `filter-${name}` }, t(`list.${name}`), input);
  const input = (name, type) =>
    h("input", { id: `filter-${name}`, type, value: wanted[name], oninput: change(name), autocomplete: "off" });
  const select = (name, options) => h("select", { id: `filter-${name}`, onchange: change(name) }, options);
  const option = (name, value, words) => h("option", { value, selected: wanted[name] === value }, words);
  const choice = (name) =>
    field(
      name,
      select(name, [
        option(name, "", t("list.all")),
        ...CHOICES[name].map((value) => option(name, value, t(`${name}.${value}`))),
      ]),
    );
  const orders = CHOICES.order.map((value) => option("order", value === "latest" ? "" : value, t(`order.${value}`)));
  const form = h(
    "form",
    { class: "filters", "aria-label": t("list.filters"), onsubmit: (event) => event.preventDefault() },
    field("text", input("text", "search")),
    choice("impression"),
    choice("modality"),
    choice("state"),
    stations(field, select, option),
    field("day", input("day", "date")),
    field("order", select("order", orders)),
    h("button", { type: "reset" }, t("list.clear")),
  );
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    for (const name of Object.keys(wanted)) {
      wanted[name] = "";
      form.querySelector(`#filter-${name}`).value = "";
    }
    note(0);
  });
  return form;
}

/** The choice of stations, which the ledger knows; hidden where there is none to choose. */
function stations(field, select, option) {
  const choice = select("station", [option("station", "", t("list.all"))]);
  if (wanted.station) choice.append(option("station", wanted.station, wanted.station));
  const label = field("station", choice);
  label.hidden = !wanted.station;
  getJson(ai("stations")).then(
    (names) => {
      choice.append(...names.filter((name) => name !== wanted.station).map((name) => option("station", name, name)));
      label.hidden = choice.options.length < 2;
    },
    () => {},
  );
  return label;
}
