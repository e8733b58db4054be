// One study: its series as in the worklist, and those that are not read, with the reason.

import { ai, getJson, repeat } from "./api.js";
import { fill, fillIfNew, h } from "./dom.js";
import { worklistAddress } from "./filters.js";
import { tell } from "./notice.js";
import { studiesOf } from "./patients.js";
import { heading, table } from "./table.js";
import { t } from "./words.js";

const BUSY_SECONDS = 2;
const IDLE_SECONDS = 15;

export function openStudy(content, id) {
  let busy = false;
  const room = h("div", {}, h("h1", {}, t("page.loading")));
  fill(content, room);
  const look = async () => {
    try {
      const answer = await getJson(ai(`studies/${id}`));
      busy = answer.series.some((one) => ["waiting", "running"].includes(one.state));
      const named = answer.series.map((one) => one.series);
      const read = named.length ? (await getJson(ai(`worklist?series=${named.join(",")}&limit=200`))).series : [];
      const rows = answer.series.map((one) => read.find(({ series }) => series === one.series) ?? unread(one));
      const all = [...named, ...answer.others.map((one) => one.series)];
      const studies = await studiesOf(all);
      const { others } = answer;
      fillIfNew(room, [rows, others, studies.has(all[0])], () => shown(rows, others, studies, studies.get(all[0])));
      tell("");
    } catch (error) {
      tell(error.message, true);
    }
  };
  return repeat(look, () => (busy ? BUSY_SECONDS : IDLE_SECONDS)).end;
}

function shown(series, others, studies, study) {
  return [
    h("p", {}, h("a", { href: worklistAddress() }, t("page.back"))),
    heading(study),
    series.length ? table(series, studies) : h("p", {}, t("list.none")),
    others.length > 0 &&
      h(
        "section",
        { class: "card" },
        h("h2", {}, t("study.others")),
        h("ul", {}, others.map((one) => h("li", {}, one.reason))),
      ),
  ];
}

/** A series that has not been read (yet), with what a row of the worklist has. */
function unread(one) {
  return { ...one, reasons: one.verdict.reasons, percent: null, score: null };
}
