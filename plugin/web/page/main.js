// The page: its head, and which of its rooms is open. `#/?…`, `#/series/ID`, `#/study/ID`, `#/models`.

import { ai, getJson } from "./api.js";
import { fill, h } from "./dom.js";
import { worklistAddress } from "./filters.js";
import { openModels } from "./models.js";
import { tell } from "./notice.js";
import { openSeries } from "./series.js";
import { openStudy } from "./study.js";
import { LANGUAGES, inUse, speak, t } from "./words.js";
import { openWorklist } from "./worklist.js";

const content = document.getElementById("content");
const root = document.documentElement;

let leave = () => {};

function remembered(name, otherwise) {
  try {
    return localStorage.getItem(`chest-ai-${name}`) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function remember(name, value) {
  try {
    localStorage.setItem(`chest-ai-${name}`, value);
  } catch {
    // A browser that keeps nothing asks again.
  }
}

function room() {
  const [, name, id] = /^#\/(\w*)\/?([0-9a-f-]*)(?:\?.*)?$/.exec(location.hash || "#/") ?? [null, "none", ""];
  return { name, id };
}

async function open() {
  leave();
  const { name, id } = room();
  drawHead(name);
  tell("");
  const rooms = { "": openWorklist, series: openSeries, study: openStudy, models: openModels };
  if (!(name in rooms)) {
    leave = () => {};
    fill(content, h("h1", {}, t("page.no_page")));
    return;
  }
  leave = rooms[name](content, id);
}

function drawHead(current) {
  const link = (name, address, words, onclick) =>
    h("a", { href: address, "aria-current": current === name ? "page" : null, onclick }, words);
  const asFiltered = (event) => event.currentTarget.setAttribute("href", worklistAddress());
  const dark = root.dataset.theme === "dark";
  const languages = Object.entries(LANGUAGES).map(([code, name]) =>
    h("option", { value: code, selected: code === inUse() }, name),
  );
  document.title = t("page.title");
  document.getElementById("skip").textContent = t("page.skip");
  fill(
    document.getElementById("head"),
    h("p", { class: "brand" }, h("strong", {}, t("page.title")), h("span", {}, t("page.subtitle"))),
    h(
      "nav",
      { "aria-label": t("page.menu") },
      link("", worklistAddress(), t("page.worklist"), asFiltered),
      link("models", "#/models", t("page.models")),
      h("a", { href: "../app/explorer.html" }, t("page.orthanc")),
    ),
    h(
      "div",
      { class: "choices" },
      h("select", { "aria-label": t("page.language"), onchange: chooseLanguage }, languages),
      h("button", { type: "button", onclick: changeTheme }, dark ? t("page.light") : t("page.dark")),
    ),
  );
}

async function chooseLanguage(event) {
  remember("language", event.target.value);
  await speak(event.target.value);
  await open();
  document.querySelector("#head select").focus();
}

function changeTheme() {
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  remember("theme", root.dataset.theme);
  drawHead(room().name);
  document.querySelector("#head button").focus();
}

async function begin() {
  root.dataset.theme = remembered("theme", "dark");
  const session = await getJson(ai("session")).catch(() => ({}));
  await speak(remembered("language", session.language ?? "en"));
  addEventListener("hashchange", async () => {
    await open();
    content.focus();
    scrollTo(0, 0);
  });
  await open();
}

begin();
