// Who a series is of, as Orthanc says it to whoever looks at the page. The plugin itself does not tell.

import { getJson, orthanc, postJson } from "./api.js";

const MODALITIES = "CT\\CR\\DX";
const MOST = 100;

const studies = new Map();

/** The studies of several series, by series; those that Orthanc does not show are missing. */
export async function studiesOf(series) {
  const unknown = series.filter((one) => !studies.has(one));
  if (unknown.length) {
    try {
      const asked = { Resources: unknown, Level: "Study" };
      for (const study of await postJson(orthanc("tools/bulk-content"), asked)) {
        for (const one of study.Series) studies.set(one, study);
      }
    } catch {
      // Whoever may not ask sees no names; each series is asked for anew at the next look.
    }
  }
  return studies;
}

/** Series whose patient's name or ID has this text in it. Throws where Orthanc does not let one search. */
export async function seriesOf(text) {
  const plain = text.replace(/[*?\\]/g, " ").trim();
  const find = (keyword) =>
    postJson(orthanc("tools/find"), {
      Level: "Series",
      Query: { [keyword]: `*${plain}*`, Modality: MODALITIES },
      CaseSensitive: false,
      Limit: MOST,
    });
  const found = await Promise.all([find("PatientName"), find("PatientID")]);
  return { series: [...new Set(found.flat())].slice(0, MOST), more: found.some((ids) => ids.length >= MOST) };
}
