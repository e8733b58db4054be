// A physician's word on a reading: what was said, and the form to say it.

import { ai, postJson } from "./api.js";
import { h, thead } from "./dom.js";
import { tell } from "./notice.js";
import { PAST } from "./verdict.js";
import { number, percent, person, t, when } from "./words.js";

const DECISIONS = ["accept", "modify", "reject"];
const SIDES = ["right", "left", "both"];
const MOST_TEXT = 2000;

/**
 * The words on a series and the form for another one. `session`: who asks and what this one may do;
 * `cards`: of the networks in use; `look`: shows what is new.
 */
export function review(one, session, cards, look) {
  return h(
    "section",
    { class: "review" },
    h("h2", {}, t("review.title")),
    one.reviews.map(word),
    one.corrections.map((said) => correction(said, one.findings?.lungs)),
    one.outputs.sr === null
      ? h("p", { class: "quiet" }, t("review.no_report"))
      : session.may_review
        ? form(one, session, classesOf(one, cards), look)
        : h("p", { class: "quiet" }, t("review.may_not", { why: session.reason ?? "" })),
  );
}

/** One word: who, when, what, and on which version where that is no longer today's. */
function word(said) {
  const who = [person(said.by), said.organization].filter((text) => text).join(", ");
  return h(
    "div",
    { class: "word" },
    h("p", {}, h("strong", {}, t(`review.${PAST[said.decision]}`)), ` · ${who} · ${when(said.at)}`),
    !said.verified && h("p", { class: "quiet" }, t("review.unverified")),
    said.meaning && h("p", {}, `${t("review.corrected")}: ${said.meaning}`),
    said.text && h("blockquote", {}, said.text),
    !said.current && h("p", { class: "quiet" }, t("review.of", { made_by: said.made_by })),
  );
}

/** Outlines that came back from a viewer: their volumes beside the software's. */
function correction(said, lungs) {
  const who = [person(said.by), said.made_with].filter((text) => text).join(", ");
  const share = (measured, side) => (measured ? percent(measured[side].percent) : "");
  const rows = SIDES.map((side) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, t(`series.${side}`)),
      h("td", {}, share(lungs, side)),
      h("td", {}, share(said.lungs, side)),
      h("td", {}, said.lungs && `${number(said.lungs[side].findings_ml, 1)} mL`),
    ),
  );
  const columns = ["series.side", "review.by_software", "review.by_hand", "series.marked"];
  return h(
    "div",
    { class: "word" },
    h("p", {}, h("strong", {}, t("review.outlines")), ` · ${who} · ${when(said.at)}`),
    said.lungs === null
      ? h("p", {}, t("review.unmeasured", { why: said.reason ?? "" }))
      : h(
          "table",
          {},
          thead(columns.map((key) => t(key))),
          h("tbody", {}, rows),
        ),
    !said.current && h("p", { class: "quiet" }, t("review.outlines_of")),
  );
}

/** The classes that a word may choose from, by name, in the order of the cards. */
function classesOf(one, cards) {
  const classes = cards
    .filter((card) => card.modality === one.modality && card.task === "classify")
    .flatMap((card) => card.outputs.find((output) => output.meaning === "logits").classes);
  return [...new Map(classes.map((kind) => [kind.name, kind.meaning]))];
}

function form(one, session, classes, look) {
  const corrected = h(
    "select",
    { id: "corrected" },
    h("option", { value: "" }, t("review.choose")),
    classes.map(([name, meaning]) => h("option", { value: name }, meaning)),
  );
  const correction = h("label", { for: "corrected", hidden: true }, t("review.corrected"), " ", corrected);
  const text = h("textarea", { id: "review-text", maxlength: MOST_TEXT });
  const name = h("input", { id: "review-name", maxlength: 64, autocomplete: "name", required: true });
  const choose = (event) => {
    correction.hidden = event.target.value !== "modify";
  };
  const choice = (decision) =>
    h(
      "label",
      { class: "check" },
      h("input", { type: "radio", name: "decision", value: decision, required: true, onchange: choose }),
      t(`review.${decision}`),
    );
  const send = async (event) => {
    event.preventDefault();
    const decision = new FormData(event.target).get("decision");
    const said = { decision, assessed: one.outputs.sr, text: text.value };
    if (decision === "modify" && corrected.value) said.corrected = corrected.value;
    if (session.named === null) said.name = name.value;
    try {
      await postJson(ai(`series/${one.series}/review`), said);
      tell(t("review.stored"));
      await look();
    } catch (error) {
      tell(error.message, true);
    }
  };
  return h(
    "form",
    { onsubmit: send },
    h("fieldset", {}, h("legend", {}, t("review.question")), DECISIONS.map(choice)),
    correction,
    h("label", { for: "review-text" }, t("review.text"), text),
    session.named === null
      ? h("label", { for: "review-name" }, t("review.name"), " ", name)
      : h("p", { class: "quiet" }, t("review.as", { name: person(session.named) })),
    h("button", { type: "submit", class: "first" }, t("review.send")),
  );
}
