// The viewers that this Orthanc has, and where they open a study.

import { getJson, orthanc } from "./api.js";

const VIEWERS = {
  ohif: ["OHIF", (study) => `ohif/viewer?StudyInstanceUIDs=${study.MainDicomTags.StudyInstanceUID}`],
  "stone-webviewer": ["Stone", (study) => `stone-webviewer/index.html?study=${study.MainDicomTags.StudyInstanceUID}`],
  "web-viewer": ["Web viewer", (study, series) => `web-viewer/app/viewer.html?series=${series}`],
  "orthanc-explorer-2": [
    "Explorer 2",
    (study) => `ui/app/#/filtered-studies?StudyInstanceUID=${study.MainDicomTags.StudyInstanceUID}&expand=study`,
  ],
};

/** Names and addresses of the viewers for a study; always with Orthanc's own Explorer. */
export async function viewersOf(study, series) {
  const plugins = await getJson(orthanc("plugins")).catch(() => []);
  const found = Object.entries(VIEWERS)
    .filter(([plugin]) => study && plugins.includes(plugin))
    .map(([, [name, address]]) => [name, orthanc(address(study, series))]);
  return [...found, ["Orthanc Explorer", orthanc(`app/explorer.html#series?uuid=${series}`)]];
}
