// Elements are made here and nowhere else. Text is only ever set as text, so what a chat says can run nothing, and passes
// through `visible`, so that nothing in it is hidden.

const SVG = "http://www.w3.org/2000/svg";

function h(tag, attributes, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined) element.append(...(typeof child === "string" ? visible(child) : [child]));
  }
  return element;
}

const byId = (id) => document.getElementById(id);

// Numbers as people read them; a missing one is a dash, never 0.
const fixed = (value, digits = 2) => (value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−"));
const sureness = ({ confidence }) => (confidence === null || confidence === undefined ? "" : `, ${Math.floor(100 * confidence + 1e-9)} % sure`);
const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
const spoken = (name) => name.replaceAll("_", " ");
