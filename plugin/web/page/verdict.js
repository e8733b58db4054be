// What a reading came to, in a few words and a colour, and a score beside its operating point.

import { h } from "./dom.js";
import { operatingPoint, score, t } from "./words.js";

/** What a physician has done with a result, by the decision. */
export const PAST = { accept: "accepted", modify: "modified", reject: "rejected" };

const TONES = { positive: "alert", borderline: "notice", negative: "calm" };

/** The verdict on a series as a label; `one` is a row of the worklist or the answer for a series. */
export function verdict(one) {
  if (one.state !== "done") return h("span", { class: `label ${one.state}` }, t(`state.${one.state}`));
  const tone = TONES[one.impression] ?? "notice";
  return h("span", { class: `label ${tone}` }, t(`answer.${one.answer ?? "nothing_said"}`));
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
