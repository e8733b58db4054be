// The cards of the networks in use, in their makers' words.

import { ai, getJson } from "./api.js";
import { fill, h, thead } from "./dom.js";
import { tell } from "./notice.js";
import { number, t } from "./words.js";

export function openModels(content) {
  let left = false;
  fill(content, h("h1", {}, t("page.models")), h("p", { class: "quiet" }, t("page.loading")));
  getJson(ai("models")).then(
    (cards) => !left && show(content, cards),
    (error) => tell(t("page.unanswered", { why: error.message }), true),
  );
  return () => {
    left = true;
  };
}

function show(content, cards) {
  fill(
    content,
    h("h1", {}, t("page.models")),
    h("p", { class: "quiet" }, t(cards.length ? "models.english" : "models.none")),
    cards.map(card),
  );
}

function card(one) {
  const said = [
    ["intended", one.intended_use],
    ["limits", one.limits],
    ["training", one.training_data],
    ["licence", one.licence],
  ];
  return h(
    "article",
    { class: "card", "aria-labelledby": `model-${one.name}` },
    h("h2", { id: `model-${one.name}` }, one.title),
    h(
      "p",
      { class: "quiet" },
      [
        `${one.name} ${one.version}`,
        t(`modality.${one.modality}`),
        t(`models.${one.task}`),
        t("models.runs_on", { provider: one.provider }),
      ].join(" · "),
    ),
    one.update && update(one.update),
    said.filter(([, text]) => text).map(([name, text]) => [h("h3", {}, t(`models.${name}`)), h("p", {}, text)]),
    figures("figures", one.figures),
    figures("shortcuts", one.shortcut_checks),
    h("p", { class: "quiet" }, `${t("models.file")} `, h("code", {}, one.sha256)),
  );
}

/** Newer versions of a network: tried, offered or refused, and the one before. */
function update(known) {
  const lines = [
    known.state && t(`models.${known.state}`, { version: known.version, series: known.comparison.series }),
    known.refused && t("models.refused", { why: known.refused }),
    known.before && t("models.before", { version: known.before }),
  ];
  return h("ul", {}, lines.filter(Boolean).map((line) => h("li", {}, line)));
}

function figures(name, all) {
  if (!all?.length) return null;
  const columns = ["figure", "value", "interval", "count", "measured_on"];
  const value = (number_) => (number_ === null ? "" : number(number_, 3));
  return h(
    "details",
    {},
    h("summary", {}, `${t(`models.${name}`)} (${all.length})`),
    h(
      "div",
      { class: "wide", tabindex: 0, role: "region", "aria-label": t(`models.${name}`) },
      h(
        "table",
        {},
        thead(columns.map((column) => t(`models.${column}`))),
        h(
          "tbody",
          {},
          all.map((one) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, one.name),
              h("td", {}, value(one.value)),
              h("td", {}, one.interval ? one.interval.map(value).join(" – ") : ""),
              h("td", {}, number(one.n)),
              h("td", {}, one.measured_on),
            ),
          ),
        ),
      ),
    ),
  );
}
