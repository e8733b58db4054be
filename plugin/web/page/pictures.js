// Pictures that Orthanc draws: of the images, and of the results.

import { getJson, orthanc } from "./api.js";
import { h, svg } from "./dom.js";
import { t } from "./words.js";

export const WINDOWS = { lung_window: [-500, 1500], soft_window: [40, 400] };

const SMALL = 96;
const LARGE = 1000;
const MOST_KEPT = 400;
const kept = new Map();

/** The address of a picture of an instance, as large as fits a square; of a CT in a window of Hounsfield units. */
export function drawn(instance, { size = null, window = null } = {}) {
  const query = new URLSearchParams();
  if (size) {
    query.set("width", size);
    query.set("height", size);
  }
  if (window) {
    query.set("window-center", window[0]);
    query.set("window-width", window[1]);
  }
  return orthanc(`instances/${instance}/rendered?${query}`);
}

/** The slices of a CT from the feet up, or the films of a series, as Orthanc's ids of instances. */
export async function slicesOf(series) {
  try {
    const ordered = await getJson(orthanc(`series/${series}/ordered-slices`));
    return ordered.SlicesShort.map(([instance]) => instance);
  } catch {
    return (await getJson(orthanc(`series/${series}`))).Instances;
  }
}

/**
 * A small picture of a row of the worklist, fetched when it comes into sight: a film's attention map, or the
 * slice of a CT on which most was marked, with the outlines; a ring in its corner says that nothing was. What
 * was fetched once is shown again without being asked for.
 */
export function thumbnail(one) {
  const key = `${one.series} ${one.updated_at}`;
  const known = kept.get(key);
  if (known) return known;
  const image = h("img", { alt: "", width: SMALL, height: SMALL });
  const frame = h("span", { class: "thumbnail" }, image, one.thumbnail && marks(one.thumbnail));
  const hide = () => frame.classList.add("missing");
  image.addEventListener("error", () => {
    kept.delete(key); // it is asked for anew when the list changes
    hide();
  });
  const sight = new IntersectionObserver((seen) => {
    if (!seen.some((one) => one.isIntersecting)) return;
    sight.disconnect();
    source(one).then((address) => {
      if (address) image.src = address;
      else hide();
    }, hide);
  });
  sight.observe(image);
  kept.set(key, frame);
  if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  return frame;
}

function marks({ rows, columns, outlines }) {
  if (outlines.length === 0) return h("span", { class: "nothing", "aria-hidden": "true" });
  const points = (outline) => outline.map((value, index) => `${value}${index % 2 ? " " : ","}`).join("").trim();
  return svg(
    "svg",
    { viewBox: `0 0 ${columns} ${rows}`, "aria-hidden": "true" },
    outlines.map((outline) => svg("polygon", { points: points(outline) })),
  );
}

async function source(one) {
  const { attention } = one.outputs;
  if (attention) return drawn(attention, { size: SMALL });
  const window = one.modality === "ct" ? WINDOWS.lung_window : null;
  if (one.thumbnail) return drawn(one.thumbnail.instance, { size: SMALL, window });
  const slices = await slicesOf(one.series);
  const middle = slices[Math.floor(slices.length / 2)];
  return middle ? drawn(middle, { size: SMALL, window }) : null;
}

/** A large picture of an instance with its words below; it leads to the picture in its own size. */
export function figure(instance, words) {
  const image = h("img", { src: drawn(instance, { size: LARGE }), alt: words });
  const failed = h("p", { class: "quiet", hidden: true }, t("series.picture_failed"));
  image.addEventListener("error", () => {
    image.remove();
    failed.hidden = false;
  });
  const link = h("a", { href: drawn(instance), target: "_blank", rel: "noopener" }, image);
  return h("figure", {}, link, failed, h("figcaption", {}, words));
}
