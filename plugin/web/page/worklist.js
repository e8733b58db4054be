// The worklist: what is being read, what waits, and the series that have been read.

import { ai, getJson, repeat } from "./api.js";
import { fill, fillIfNew, h } from "./dom.js";
import { filters, query, readAddress, wanted } from "./filters.js";
import { tell } from "./notice.js";
import { seriesOf, studiesOf } from "./patients.js";
import { patientLink, table } from "./table.js";
import { t, when } from "./words.js";

const BUSY_SECONDS = 2;
const IDLE_SECONDS = 10;

// The ends of the pages before. Kept while the page is open: who comes back from a series finds the same place.
let places = [];

const SEARCH_LASTS = 30_000;
let search = { text: null, at: 0, found: null };

export function openWorklist(content) {
  const now = h("section", { class: "now", "aria-labelledby": "now" });
  const list = h("section", { "aria-labelledby": "series" });
  let busy = false;
  let timer = null;
  if (readAddress(location.hash)) places = [];
  const changed = (wait) => {
    places = [];
    clearTimeout(timer);
    timer = setTimeout(() => poll.now(), wait);
  };
  fill(content, h("h1", {}, t("page.worklist")), now, filters(changed), list);
  const poll = repeat(
    async () => {
      busy = await refresh(now, list, () => poll.now());
    },
    () => (busy ? BUSY_SECONDS : IDLE_SECONDS),
  );
  return () => {
    clearTimeout(timer);
    poll.end();
  };
}

/** Ask for the page that is open and show what is new in it; whether anything is being read or waits. */
async function refresh(now, list, look) {
  let answer = null;
  let limited = null;
  try {
    const asked = query();
    if (wanted.text.trim()) {
      limited = await searched(wanted.text);
      if (limited === null) return false;
      asked.set("series", limited.series.join(","));
    }
    if (places.length) asked.set("after", places.at(-1));
    // A plus in a query is a plus to Orthanc.
    answer = await getJson(ai(`worklist?${asked.toString().replaceAll("+", "%20")}`));
  } catch (error) {
    tell(t("page.unanswered", { why: error.message }), true);
    return false;
  }
  const { status } = answer;
  const said = status.state === "ready" ? "" : t(`status.${status.state}`, { why: status.reason ?? "" });
  tell(limited?.more ? t("list.many", { count: limited.series.length }) : said, said !== "");
  const named = [...answer.series, ...answer.waiting, ...status.running].map((one) => one.series);
  const studies = await studiesOf(named);
  const who = named.map((one) => studies.get(one)?.ID);
  fillIfNew(now, [status.running, answer.waiting, status.counts, who], () => nowShown(answer, studies));
  fillIfNew(list, [answer.series, answer.next, places.length, who, wanted.order], () => shown(answer, studies, look));
  return status.running.length > 0 || answer.waiting.length > 0;
}

/** What Orthanc finds for a text; asked anew after a while, not whenever the list renews itself. */
async function searched(text) {
  try {
    if (text !== search.text || Date.now() - search.at > SEARCH_LASTS) {
      search = { text, at: Date.now(), found: await seriesOf(text) };
    }
    return search.found;
  } catch {
    tell(t("list.no_search"), true);
    return null;
  }
}

function nowShown({ status, waiting }, studies) {
  const { counts, running } = status;
  return [
    h("h2", { id: "now" }, t("list.now")),
    running.length === 0 && h("p", { class: "quiet" }, t("list.idle")),
    running.map((one) =>
      h(
        "div",
        { class: "running" },
        patientLink(one.series, studies),
        h("span", {}, t(`stage.${one.stage}`)),
        h("progress", { max: 1, value: one.progress, "aria-label": t(`stage.${one.stage}`) }),
      ),
    ),
    counts.waiting > 0 &&
      h(
        "details",
        { open: waiting.length < 4 },
        h("summary", {}, t("list.waits", { count: counts.waiting })),
        h("ol", {}, waiting.map((one) => h("li", {}, waits(one, studies)))),
      ),
  ];
}

function waits(one, studies) {
  const words = [t(`modality.${one.modality}`), t("list.since", { when: when(one.noted_at) })];
  if (one.due_at === null) words.push(t("list.receiving"));
  if (one.attempts > 0) words.push(t("list.tried", { count: one.attempts + 1 }), one.error);
  return [patientLink(one.series, studies), h("span", { class: "quiet" }, words.filter((x) => x).join(", "))];
}

function shown({ series, next }, studies, look) {
  const turn = (change) => () => {
    change();
    look();
  };
  return [
    h("h2", { id: "series" }, t("list.series")),
    series.length === 0 ? h("p", { class: "quiet" }, t("list.none")) : table(series, studies, wanted.order || "latest"),
    h(
      "div",
      { class: "pages" },
      places.length > 0 && h("button", { type: "button", onclick: turn(() => places.pop()) }, t("list.before")),
      next !== null && h("button", { type: "button", onclick: turn(() => places.push(next)) }, t("list.after")),
    ),
  ];
}
