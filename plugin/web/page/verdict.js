// What a reading came to, in a few words and a colour, and a score beside its operating point.

import { h } from "./dom.js";
import { operatingPoint, score, t } from "./words.js";

/** What a physician has done with a result, by the decision. */
export const PAST = { accept: "accepted", modify: "modified", reject: "rejected" };

const TONES = {
  likely: "alert",
  unlikely: "calm",
  marked: "alert",
  suspected: "alert",
  borderline: "notice",
  few_marked: "calm",
  none_marked: "calm",
  not_suspected: "calm",
};

/** The verdict on a series as a label; `one` is a row of the worklist or the answer for a series. */
export function verdict(one) {
  if (one.state !== "done") return h("span", { class: `label ${one.state}` }, t(`state.${one.state}`));
  const positive = one.score?.positive ?? one.findings?.classifications.some((said) => said.positive);
  const answer = one.answer ?? earlier(one, positive);
  let tone = TONES[answer] ?? "notice";
  if (tone === "calm" && positive) tone = "notice"; // outlines and classifiers do not agree
  return h("span", { class: `label ${tone}` }, t(`answer.${answer}`));
}

/** The answer of a reading by a version that did not write it down. */
function earlier(one, positive) {
  const both = one.percent?.both ?? one.findings?.lungs?.both.percent;
  if (both !== undefined) return both > 0 ? "marked" : "none_marked";
  return { true: "suspected", false: "not_suspected" }[positive] ?? "nothing_said";
}

/** A score from 0 to 100 with its operating point marked. `said`: value, threshold (0 to 1), positive. */
export function scoreBar(said) {
  const words = t("list.score_of", { score: score(said), threshold: operatingPoint(said) });
  const style = { "--value": `${100 * said.value}%`, "--threshold": `${100 * said.threshold}%` };
  return h(
    "span",
    { class: "scored" },
    h("span", { class: `bar ${said.positive ? "alert" : "calm"}`, style, "aria-hidden": "true" }),
    h("span", {}, words),
  );
}
