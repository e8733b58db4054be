// One series: its pictures, what was found, why, by which networks, and where it can be seen and corrected.

import { ai, getJson, orthanc, postJson, repeat } from "./api.js";
import { fill, fillIfNew, h, thead } from "./dom.js";
import { worklistAddress } from "./filters.js";
import { tell } from "./notice.js";
import { studiesOf } from "./patients.js";
import { figure, slicesOf } from "./pictures.js";
import { review } from "./review.js";
import { sliceViewer } from "./slices.js";
import { heading } from "./table.js";
import { scoreBar, verdict } from "./verdict.js";
import { viewersOf } from "./viewers.js";
import { isBorderline, number, percent, remark, t, when } from "./words.js";

const BUSY_SECONDS = 2;
const IDLE_SECONDS = 15;
const KINDS = { sr: "sr", pdf: "pdf", seg: "seg", attention: "attention_map", key_images: "key_images" };
const SIDES = ["right", "left", "both"];

export function openSeries(content, id) {
  const parts = {
    head: h("div", { class: "series-head" }),
    pictures: h("section", { class: "pictures", "aria-label": t("series.images") }),
    found: h("div", {}),
    review: h("div", {}),
    rest: h("div", {}),
  };
  fill(
    content,
    h("p", {}, h("a", { href: worklistAddress() }, t("page.back"))),
    parts.head,
    h("div", { class: "series" }, parts.pictures, h("div", { class: "said" }, parts.found, parts.review, parts.rest)),
  );
  fill(parts.head, h("h1", {}, t("page.loading")));
  const known = Promise.all([
    getJson(ai("models")).catch(() => []),
    getJson(ai("session")).catch((error) => ({ may_review: false, reason: error.message })),
  ]);
  let busy = false;
  const poll = repeat(
    async () => {
      busy = await refresh(id, parts, await known, () => poll.now());
    },
    () => (busy ? BUSY_SECONDS : IDLE_SECONDS),
  );
  return poll.end;
}

/** Ask for the series and show what is new; whether it is being read or about to be. */
async function refresh(id, parts, [cards, session], look) {
  const study = (await studiesOf([id])).get(id);
  let one;
  try {
    one = await getJson(ai(`series/${id}`));
  } catch (error) {
    fill(parts.head, heading(study), h("p", {}, error.message), again(id, look));
    return false;
  }
  fillIfNew(parts.head, [one.state, one.stage, one.progress, one.updated_at, study?.ID], () =>
    head(one, study, look),
  );
  const results = [one.outputs, one.gone, study?.ID];
  fillIfNew(parts.pictures, results, () => pictures(one));
  fillIfNew(parts.found, [one.findings, one.verdict, one.error], () => found(one, cards));
  fillIfNew(parts.rest, [one.outputs, one.gone, one.models, one.timings, study?.ID], () => rest(one, study));
  // By itself, so that what somebody types stays while other things change.
  fillIfNew(parts.review, [one.outputs.sr, one.reviews, one.corrections], () => review(one, session, cards, look));
  return one.state === "running" || one.state === "waiting";
}

function head(one, study, look) {
  return [
    heading(study),
    h(
      "div",
      { class: "standing" },
      h("p", {}, `${t(`modality.${one.modality}`)} `, verdict(one)),
      one.stage && [
        h("p", { class: "quiet" }, t(`stage.${one.stage}`)),
        h("progress", { max: 1, value: one.progress, "aria-label": t(`stage.${one.stage}`) }),
      ],
      h("p", { class: "quiet" }, t("series.read_at", { when: when(one.updated_at) })),
      one.state !== "running" && again(one.series, look),
    ),
  ];
}

function again(id, look) {
  const ask = async () => {
    try {
      await postJson(ai(`series/${id}/run`), {});
      tell(t("series.asked"));
      await look();
    } catch (error) {
      tell(error.message, true);
    }
  };
  return h("button", { type: "button", onclick: ask }, t("series.again"));
}

function pictures(one) {
  if (one.modality === "ct") return sliceViewer(one.series, one.outputs.seg);
  const films = h("div", { class: "films" });
  slicesOf(one.series).then(
    ([film]) => film && films.prepend(figure(film, t("series.film"))),
    () => {},
  );
  if (one.outputs.attention) films.append(figure(one.outputs.attention, t("series.attention")));
  return films;
}

function found(one, cards) {
  return [
    findings(one, cards),
    remarks(one),
    one.error && section("error", h("p", { class: "trouble" }, one.error)),
  ];
}

function rest(one, study) {
  return [results(one, study), networks(one), times(one)];
}

function section(name, ...children) {
  return h("section", {}, h("h2", {}, t(`series.${name}`)), children);
}

function findings(one, cards) {
  const { findings: known } = one;
  if (known === null) {
    return one.verdict.accepted === null && section("findings", h("p", {}, t("series.no_findings")));
  }
  const said = [...(known.joined ? [known.joined] : []), ...known.classifications];
  // The joined statement has no card of a network: its classes are those of the classifiers that it joins.
  const classifiers = said.map((one) => classifier(one, cards, known.classifications[0]?.model));
  const others = (known.beside ?? []).map((one) => beside(one, known.lungs));
  return section("findings", classifiers, known.lungs && lungs(known.lungs), margin(known.lungs), others);
}

/** What a further segmenter marks, and how far it agrees with the first. */
function beside(one, first) {
  const said = { model: one.model, first: first.model, share: percent(one.both.percent) };
  if (one.agreement === null) return h("p", { class: "quiet" }, t("series.beside_nothing", said));
  return h("p", { class: "quiet" }, t("series.beside", { ...said, dice: number(one.agreement, 2) }));
}

/** What one classifier says of the class that it looks for. */
function classifier(said, cards, part) {
  const card = cards.find((one) => one.name === (said.projection === "joined" ? part : said.model));
  const classes = card?.outputs.find((output) => output.meaning === "logits")?.classes ?? [];
  const finding = classes.find((one) => one.role === "finding" && one.name in said.probabilities);
  const name = finding?.name ?? said.called;
  const scored = { value: said.probabilities[name], threshold: said.thresholds[name], positive: said.positive };
  return h(
    "div",
    { class: "classifier" },
    h("h3", {}, finding?.meaning ?? name),
    h(
      "p",
      {},
      t(said.positive ? "answer.positive" : "answer.negative"),
      isBorderline(scored) && `, ${t("series.borderline")}`,
      ` (${t(`series.${said.projection ?? "frontal"}`)})`,
    ),
    scoreBar(scored),
  );
}

function lungs(measured) {
  const columns = ["side", "millilitres", "marked", "share"];
  const volume = (value) => `${number(value, value > 0 && value < 10 ? 1 : 0)} mL`;
  return h(
    "table",
    { class: "lungs" },
    h("caption", {}, t("series.lungs")),
    thead(columns.map((column) => t(`series.${column}`))),
    h(
      "tbody",
      {},
      SIDES.map((side) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, t(`series.${side}`)),
          h("td", {}, volume(measured[side].volume_ml)),
          h("td", {}, volume(measured[side].findings_ml)),
          h("td", {}, percent(measured[side].percent)),
        ),
      ),
    ),
  );
}

/** How far what is marked may lie from what an expert would outline, where that was measured. */
function margin(measured) {
  const { drawn } = measured ?? {};
  if (!drawn) return null;
  const [low, high, lowPercent, highPercent] = [...drawn.findings_ml, ...drawn.percent].map((value) => number(value));
  const said = { low, high, lowPercent, highPercent, patients: drawn.patients };
  return h("p", {}, t("series.margin", said));
}

/** Every reason and remark once, in plain words. */
function remarks(one) {
  const all = new Map([...one.verdict.reasons, ...(one.findings?.remarks ?? [])].map((said) => [said.code, said]));
  if (all.size === 0) return null;
  const list = [...all.values()].map((said) => h("li", { class: said.severity }, remark(said)));
  return section(one.verdict.accepted === false ? "reasons" : "remarks", h("ul", {}, list));
}

function results(one, study) {
  const links = Object.entries(KINDS).flatMap(([kind, name]) => {
    const id = one.outputs[kind];
    if (!id) return [];
    const pdf = kind === "pdf" ? [link(`instances/${id}/pdf`, t("series.as_pdf"))] : [];
    return [h("li", {}, `${t(`series.${name}`)}: `, pdf, " ", link(`instances/${id}/file`, t("series.as_dicom")))];
  });
  const viewers = h("ul", { class: "links" });
  const viewer = ([name, address]) => h("li", {}, h("a", { href: address }, `${t("series.open_in")} ${name}`));
  viewersOf(study, one.series).then((found) => fill(viewers, found.map(viewer)));
  return section(
    "results",
    links.length ? h("ul", { class: "results" }, links) : h("p", {}, t("series.no_results")),
    one.gone.length > 0 && h("p", {}, t("series.gone")),
    viewers,
  );
}

const link = (path, words) => h("a", { href: orthanc(path), target: "_blank", rel: "noopener" }, words);

function networks(one) {
  if (one.models.length === 0) return null;
  const list = one.models.map((model) =>
    h("li", {}, h("a", { href: "#/models" }, `${model.name} ${model.version}`), `, ${model.provider}`),
  );
  return section("models", h("ul", {}, list));
}

function times(one) {
  const stages = Object.entries(one.timings).filter(([stage]) => stage !== "wait");
  if (stages.length === 0) return null;
  const total = stages.reduce((sum, [, seconds]) => sum + seconds, 0);
  const rows = stages.map(([stage, seconds]) => {
    const style = { "--value": `${(100 * seconds) / total}%` };
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, t(`stage.${stage}`)),
      h("td", {}, number(seconds, 1)),
      h("td", { class: "grow" }, h("span", { class: "bar plain", style, "aria-hidden": "true" })),
    );
  });
  return section(
    "times",
    h("table", { class: "times" }, h("tbody", {}, rows)),
    h("p", { class: "quiet" }, t("series.times_total", { seconds: number(total, 1) })),
  );
}
