// A table of series, and how a patient is named: in the worklist, in a study, over a series.

import { h, thead } from "./dom.js";
import { thumbnail } from "./pictures.js";
import { PAST, scoreBar, verdict } from "./verdict.js";
import { dicomDate, percent, person, remark, t, when } from "./words.js";

// The column that each order of the worklist goes by, and which way.
const SORTED = {
  latest: ["time", "descending"],
  newest: ["time", "descending"],
  oldest: ["time", "ascending"],
  urgency: ["score", "descending"],
  state: ["verdict", "other"],
};
const COLUMNS = ["picture", "time", "patient", "modality", "verdict", "score", "lungs"];

/** Series as rows of a table. `studies`: what Orthanc tells of them; `order`: of the worklist. */
export function table(series, studies, order) {
  const [sorted, direction] = SORTED[order] ?? [];
  const arrival = order === "newest" || order === "oldest";
  const words = COLUMNS.map((name) => t(name === "time" && arrival ? "list.arrived" : `list.${name}`));
  const sort = (index) => {
    const name = COLUMNS[index];
    return { class: name, "aria-sort": name === sorted && direction };
  };
  return h(
    "table",
    { class: "worklist" },
    thead(words, sort),
    h("tbody", { onkeydown: walk }, series.map((one) => row(one, studies, arrival))),
  );
}

function row(one, studies, arrival) {
  return h(
    "tr",
    {},
    h("td", { class: "picture" }, thumbnail(one)),
    h("td", { class: "time" }, when(arrival ? one.noted_at : one.updated_at)),
    h("td", { class: "patient" }, patientLink(one.series, studies)),
    h("td", { class: "modality" }, t(`modality.${one.modality}`), one.station && h("span", { class: "quiet" }, one.station)),
    h("td", { class: "verdict" }, verdict(one), word(one), reason(one)),
    h("td", { class: "score" }, one.score && scoreBar(one.score)),
    h("td", { class: "lungs" }, one.percent && shares(one.percent)),
  );
}

/** A physician's word as a second label. */
function word(one) {
  const said = one.review ?? one.reviews?.[0]?.decision;
  return said ? h("span", { class: "label reviewed" }, t(`review.${PAST[said]}`)) : null;
}

function reason(one) {
  const refused = one.state === "rejected" && one.reasons.find((kind) => kind.severity === "reject");
  const said = one.state === "failed" ? one.error : refused && remark(refused);
  return said ? h("span", { class: "why" }, said) : null;
}

function shares({ right, left }) {
  return [
    h("span", {}, h("b", {}, t("list.right")), ` ${percent(right)}`),
    h("span", {}, h("b", {}, t("list.left")), ` ${percent(left)}`),
  ];
}

/** A link to a series under the name of its patient, as far as Orthanc tells it. */
export function patientLink(series, studies) {
  const study = studies.get(series);
  const tags = study?.PatientMainDicomTags ?? {};
  const name = person(tags.PatientName) || tags.PatientID || t("list.unnamed");
  const more = study ? [tags.PatientID, dicomDate(study.MainDicomTags.StudyDate)] : [];
  return h(
    "a",
    { href: `#/series/${series}`, class: "who" },
    h("span", { class: "name" }, name),
    h("span", { class: "quiet" }, more.filter((text) => text && text !== name).join(" · ")),
  );
}

/** Up and down go from row to row. */
function walk(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const links = [...event.currentTarget.querySelectorAll("a.who")];
  const next = links[links.indexOf(document.activeElement) + step];
  if (next) {
    event.preventDefault();
    next.focus();
  }
}

/** The patient and the study as the head of a page. `study`: as Orthanc tells it, undefined where it does not. */
export function heading(study) {
  const tags = study?.PatientMainDicomTags;
  const name = tags ? person(tags.PatientName) || tags.PatientID : t("series.unknown_patient");
  const words = study
    ? [tags.PatientID, dicomDate(study.MainDicomTags.StudyDate), study.MainDicomTags.StudyDescription]
    : [];
  return h("div", {}, h("h1", {}, name), h("p", { class: "quiet" }, words.filter((text) => text).join(" · ")));
}
