// Through a CT slice by slice, with what was marked drawn over it: Orthanc's pictures and the bits of the
// Segmentation. A Segmentation of another kind than BINARY is left to viewers.

import { getBytes, getJson, orthanc } from "./api.js";
import { fill, h } from "./dom.js";
import { WINDOWS, drawn, slicesOf } from "./pictures.js";
import { number, t } from "./words.js";

const COLOURS = [
  [79, 148, 205],
  [102, 187, 106],
  [229, 83, 60],
];
const OPACITY = 110;
const PROBES = 12;

/** The viewer of a CT series; `segmentation`: Orthanc's id of the instance with its SEG, or null. */
export function sliceViewer(series, segmentation) {
  const image = h("img", { alt: "" });
  const canvas = h("canvas", { "aria-hidden": "true" });
  const place = h("output", { for: "slice" });
  const slider = h("input", { id: "slice", type: "range", min: 1, max: 1, value: 1 });
  const overlay = h("input", { id: "overlay", type: "checkbox", checked: true });
  const window = h(
    "select",
    { id: "window" },
    Object.keys(WINDOWS).map((name) => h("option", { value: name }, t(`series.${name}`))),
  );
  const legend = h("ul", { class: "legend" });
  const viewer = h(
    "div",
    { class: "viewer" },
    h("div", { class: "picture" }, image, canvas),
    h("div", { class: "controls" }, h("label", { for: "slice" }, t("series.slice")), slider, place),
    h(
      "div",
      { class: "controls" },
      h("label", { for: "overlay", class: "check" }, overlay, t("series.overlay")),
      h("label", { for: "window" }, t("series.window"), window),
    ),
    legend,
  );
  const state = { slices: [], marks: null, asked: 0 };
  const show = () => showSlice({ state, image, canvas, place, slider, overlay, window });
  for (const control of [slider, overlay, window]) control.addEventListener("input", show);
  begin(series, segmentation, state, slider, legend, overlay).then(show, () => {
    image.alt = t("series.picture_failed");
  });
  return viewer;
}

async function begin(series, segmentation, state, slider, legend, overlay) {
  state.slices = await slicesOf(series);
  slider.max = state.slices.length;
  slider.value = Math.ceil(state.slices.length / 2);
  if (!segmentation) {
    overlay.closest("label").hidden = true;
    return;
  }
  try {
    state.marks = await readMarks(series, segmentation);
    slider.value = (await fullest(state)) + 1;
    fill(
      legend,
      state.marks.labels.map(([label], index) =>
        h("li", {}, h("span", { style: { background: `rgb(${colour(index)})` } }), label),
      ),
    );
  } catch {
    overlay.closest("label").hidden = true;
    fill(legend, h("li", {}, t("series.no_overlay")));
  }
}

const colour = (index) => COLOURS[index % COLOURS.length];

/** Which frames of the Segmentation mark which segment on which slice. */
async function readMarks(series, segmentation) {
  const [tags, instances] = await Promise.all([
    getJson(orthanc(`instances/${segmentation}/simplified-tags`)),
    getJson(orthanc(`series/${series}/instances`)),
  ]);
  const bits = tags.Rows * tags.Columns;
  if (tags.SegmentationType !== "BINARY" || bits % 8 !== 0) throw new Error("not drawn here");
  const byUid = new Map(instances.map((one) => [one.MainDicomTags.SOPInstanceUID, one.ID]));
  const frames = new Map();
  tags.PerFrameFunctionalGroupsSequence.forEach((groups, index) => {
    const source = groups.DerivationImageSequence?.[0]?.SourceImageSequence?.[0];
    const slice = byUid.get(source?.ReferencedSOPInstanceUID);
    const segment = Number(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber);
    if (slice) frames.set(slice, [...(frames.get(slice) ?? []), { index, segment }]);
  });
  return {
    segmentation,
    rows: Number(tags.Rows),
    columns: Number(tags.Columns),
    labels: tags.SegmentSequence.map((one) => [one.SegmentLabel, Number(one.SegmentNumber)]),
    frames,
    kept: new Map(),
  };
}

/** Of some slices over the whole lung the one on which most of the last segment, the findings, is marked. */
async function fullest({ slices, marks }) {
  const last = marks.labels.at(-1)[1];
  const step = Math.max(1, Math.floor(slices.length / PROBES));
  let best = { index: Math.floor(slices.length / 2), area: 0 };
  for (let index = step; index < slices.length; index += step) {
    const frame = marks.frames.get(slices[index])?.find((one) => one.segment === last);
    if (!frame) continue;
    const area = (await bitsOf(marks, frame.index)).reduce((sum, byte) => sum + (byte ? 1 : 0), 0);
    if (area > best.area) best = { index, area };
  }
  return best.index;
}

async function bitsOf(marks, frame) {
  if (!marks.kept.has(frame)) {
    marks.kept.set(frame, await getBytes(orthanc(`instances/${marks.segmentation}/frames/${frame}/raw`)));
  }
  return marks.kept.get(frame);
}

async function showSlice({ state, image, canvas, place, slider, overlay, window }) {
  const turn = ++state.asked;
  const index = slider.value - 1;
  const slice = state.slices[index];
  if (!slice) return;
  const words = t("series.slice_of", { number: number(index + 1), count: number(state.slices.length) });
  place.textContent = words;
  slider.setAttribute("aria-valuetext", words);
  image.alt = words;
  image.src = drawn(slice, { window: WINDOWS[window.value] });
  if (!state.marks) return;
  canvas.hidden = !overlay.checked;
  if (!overlay.checked) return;
  const masks = await Promise.all(
    (state.marks.frames.get(slice) ?? []).map(async ({ index: frame, segment }) => ({
      segment: state.marks.labels.findIndex(([, number]) => number === segment),
      bits: await bitsOf(state.marks, frame),
    })),
  );
  if (turn === state.asked) paint(canvas, state.marks, masks); // a reader may have gone on meanwhile
}

/** Paint masks of a bit a pixel, the least significant first (DICOM PS3.5 Section 8.1.1). */
function paint(canvas, { rows, columns }, masks) {
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(columns, rows);
  for (const { segment, bits } of masks.sort((a, b) => a.segment - b.segment)) {
    const [red, green, blue] = colour(segment);
    for (let pixel = 0; pixel < rows * columns; pixel++) {
      if ((bits[pixel >> 3] >> (pixel & 7)) & 1) pixels.data.set([red, green, blue, OPACITY], 4 * pixel);
    }
  }
  context.putImageData(pixels, 0, 0);
}
