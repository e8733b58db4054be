// The words of the page in the reader's language, and numbers, dates and names as that language writes them.

import { ai, getJson } from "./api.js";

export const LANGUAGES = { en: "English", pt: "Português" };

let words = {};
let language = "en";

export const inUse = () => language;

/** Load the words of a language. */
export async function speak(wanted) {
  language = wanted in LANGUAGES ? wanted : "en";
  words = await getJson(ai(`page/words-${language}.json`));
  document.documentElement.lang = language === "pt" ? "pt-BR" : "en";
}

/** The words of a key, their places filled. A key without words is shown as it is. */
export function t(key, places = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => places[name] ?? whole);
}

export const known = (key) => key in words;

const locale = () => (language === "pt" ? "pt-BR" : "en-GB");

export function number(value, digits = 0) {
  return value.toLocaleString(locale(), { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A percentage from 0 to 100; a small share is never shown as none. */
export function percent(value) {
  return value > 0 && value < 0.1 ? `< ${number(0.1, 1)} %` : `${number(value, 1)} %`;
}

const BORDERLINE = 0.05; // plugin.domain.findings

/** Whether a score is so near to its operating point that it could tip. */
export const isBorderline = ({ value, threshold }) => Math.abs(value - threshold) < BORDERLINE;

/** A score from 0 to 100 as the reports write it: near its operating point rounded away from it. */
export function score(said) {
  const value = 100 * said.value;
  if (!isBorderline(said)) {
    if (value > 0 && value < 1) return `< ${number(1)}`;
    return value > 99 && value < 100 ? `> ${number(99)}` : number(value);
  }
  const round = said.positive ? Math.ceil : Math.floor;
  return number(round(Number((10 * value).toFixed(4))) / 10, 1);
}

/** The score from which on a finding is called, as the reports write it: rounded up to a decimal. */
export function operatingPoint({ threshold }) {
  const value = Math.ceil(Number((1000 * threshold).toFixed(4))) / 10;
  return number(value, Number.isInteger(value) ? 0 : 1);
}

/** Seconds of the epoch as a time, with the day where it is not today. */
export function when(seconds) {
  const moment = new Date(1000 * seconds);
  const today = moment.toDateString() === new Date().toDateString();
  const time = { hour: "2-digit", minute: "2-digit" };
  const day = { day: "2-digit", month: "short", year: "numeric" };
  return moment.toLocaleString(locale(), today ? time : { ...day, ...time });
}

/** A DICOM date (YYYYMMDD) as the language writes it. */
export function dicomDate(text) {
  const parts = /^(\d{4})(\d\d)(\d\d)$/.exec(text ?? "");
  if (!parts) return text ?? "";
  return new Date(+parts[1], parts[2] - 1, +parts[3]).toLocaleDateString(locale());
}

/** A DICOM person name: "Doe^Jane" as "Doe, Jane". */
export function person(name) {
  const [family, ...rest] = (name ?? "").split("=")[0].split("^");
  const given = rest.filter((part) => part).join(" ");
  return [family, given].filter((part) => part).join(", ");
}

/** A remark as a sentence; in its own words where the language has none, or lacks a value. */
export function remark(said) {
  const values = (said.values ?? []).map(([name, value]) => [name, localised(value)]);
  const words = known(`remark.${said.code}`) ? t(`remark.${said.code}`, Object.fromEntries(values)) : said.message;
  const sentence = (/\{\w+\}/.test(words) ? said.message : words).replace(/\.$/, "");
  return `${sentence.charAt(0).toUpperCase()}${sentence.slice(1)}.`;
}

const localised = (value) => (language === "pt" && /^-?\d+\.\d+$/.test(value) ? value.replace(".", ",") : value);
