// Elements made of data. Whatever comes from outside becomes text, never markup.

/**
 * An element. Properties that begin with "on" are listeners, `style` is an object of CSS properties,
 * true is an attribute without a value; null, undefined and false are left out, also among the children.
 */
export function h(tag, properties = {}, ...children) {
  return made(document.createElement(tag), properties, children);
}

/** A part of a drawing, likewise. */
export function svg(tag, properties = {}, ...children) {
  return made(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);
}

function made(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") {
      for (const [key, wanted] of Object.entries(value)) element.style.setProperty(key, wanted);
    } else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...kept(children));
  return element;
}

/** The head of a table: a column for each of some words, with further properties of each where there are any. */
export function thead(columns, properties = () => ({})) {
  const cells = columns.map((words, index) => h("th", { scope: "col", ...properties(index) }, words));
  return h("thead", {}, h("tr", {}, cells));
}

/** Put children in the place of all that an element has. */
export function fill(element, ...children) {
  element.replaceChildren(...kept(children));
  return element;
}

/** Show only what an element had not shown before, so that a reader's place and focus stay. */
export function fillIfNew(element, signature, make) {
  const key = JSON.stringify(signature);
  if (element.dataset.shows === key) return;
  fill(element, make());
  element.dataset.shows = key;
}

function kept(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}
