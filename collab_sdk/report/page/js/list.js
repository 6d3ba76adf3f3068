// The list of conversations. Only the lines in sight are in the document, so 10,000 are as quick as ten.

const LINE_HEIGHT = 68;
const SPARE = 6;
const ANY = "all";

// What a line says of the number that the list is sorted by.
const told = (name, words) => (line) => (line[name] === null || line[name] === undefined ? null : words(line[name]));
const SORTED_BY = {
  low: told("low", (value) => `worst ${fixed(value)}`),
  fall: told("fall", (value) => `falls by ${fixed(value)}`),
  apart: told("apart", (value) => `${fixed(value)} apart`),
  lost: told("lost", (value) => `${counted(value, "future")} lost`),
  unsure: told("unsure", (value) => `${Math.floor(100 * value + 1e-9)} % sure`),
  margin: told("margin", (value) => `margin ${fixed(value)}`),
};

const list = { places: [], chosen: -1, run: 0, onOpen: null };

function startList(onOpen) {
  list.onOpen = onOpen;
  const box = byId("list");
  list.sizer = h("div", { role: "presentation" });
  box.append(list.sizer);
  const filter = byId("filter");
  filter.append(h("option", { value: ANY }, `All (${index.lines.length.toLocaleString("en")})`));
  for (const [tag, count] of facts.tags) filter.append(h("option", { value: tag }, `${tag} (${count.toLocaleString("en")})`));
  for (const [value, words] of facts.orders) byId("order").append(h("option", { value }, words));
  filter.addEventListener("change", refreshList);
  byId("order").addEventListener("change", refreshList);
  let waiting = 0;
  byId("search").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(refreshList, 120);
  });
  box.addEventListener("scroll", drawList, { passive: true });
  box.addEventListener("keydown", onListKey);
  new ResizeObserver(drawList).observe(box);
  return refreshList();
}

async function refreshList() {
  const run = ++list.run;
  const tag = byId("filter").value;
  finder.needle = byId("search").value.trim().toLowerCase();
  showHits(byId("chat"));
  let places = index.lines.map((_, place) => place);
  if (finder.needle) {
    byId("shown").textContent = "Searching…";
    const found = [];
    for await (const [place, holds] of searched(finder.needle)) {
      if (run !== list.run) return; // somebody typed on
      if (holds) found.push(place);
    }
    places = found;
  }
  if (tag !== ANY) places = places.filter((place) => index.lines[place].tags.includes(tag));
  list.places = inOrder(places, byId("order").value);
  byId("shown").textContent = finder.needle || tag !== ANY
    ? `${list.places.length.toLocaleString("en")} of ${counted(index.lines.length, "conversation")}`
    : counted(index.lines.length, "conversation");
  byId("list").scrollTop = 0;
  drawList();
}

// Missing numbers come last, whichever way it goes.
function inOrder(places, order) {
  if (order === "file") return places;
  const sign = order === "low" || order === "unsure" ? 1 : -1;
  const known = (place) => index.lines[place][order] ?? null;
  return [...places].sort((a, b) => {
    const [x, y] = [known(a), known(b)];
    if (x === null || y === null) return (x === null) - (y === null) || a - b;
    return sign * (x - y) || a - b;
  });
}

function drawList() {
  const box = byId("list");
  const first = Math.max(0, Math.floor(box.scrollTop / LINE_HEIGHT) - SPARE);
  const last = Math.min(list.places.length, Math.ceil((box.scrollTop + box.clientHeight) / LINE_HEIGHT) + SPARE);
  list.sizer.style.height = `${list.places.length * LINE_HEIGHT}px`;
  const lines = [];
  for (let at = first; at < last; at++) lines.push(lineAt(at));
  list.sizer.replaceChildren(...lines);
  const chosen = list.places.indexOf(list.chosen);
  const isDrawn = chosen >= first && chosen < last;
  if (isDrawn) box.setAttribute("aria-activedescendant", `line-${list.chosen}`);
  else box.removeAttribute("aria-activedescendant");
}

function lineAt(at) {
  const place = list.places[at];
  const line = index.lines[place];
  const order = byId("order").value;
  const notes = [SORTED_BY[order]?.(line), line.id, order === "margin" ? null : SORTED_BY.margin(line), counted(line.turns, line.unit)];
  const element = h(
    "div",
    {
      role: "option",
      id: `line-${place}`,
      "aria-selected": String(place === list.chosen),
      "aria-setsize": list.places.length,
      "aria-posinset": at + 1,
      click: () => chooseLine(place),
    },
    h("div", { class: "first", dir: "auto" }, line.title || line.id),
    h("div", { class: "second" }, notes.filter(Boolean).join(" · ")),
    line.curve.length > 1 ? sparkline(line.curve) : null,
  );
  element.style.top = `${at * LINE_HEIGHT}px`;
  markHits(element);
  return element;
}

// A glimpse of the curve that stands beside the chat. All are on one scale, that of the file, so that they compare.
function sparkline(curve) {
  const { low, high } = index;
  const x = (place) => 4 + (place * 48) / (curve.length - 1);
  const y = (mr) => 20 - ((mr - low) * 16) / (high - low || 1);
  const points = curve.map((mr, place) => (mr === null ? null : `${x(place)},${y(mr)}`)).filter(Boolean);
  return svg("svg", { width: 56, height: 24, "aria-hidden": "true" }, svg("polyline", { class: "curve", points: points.join(" ") }));
}

function chooseLine(place) {
  list.chosen = place;
  drawList();
  list.onOpen(place);
}

function onListKey(event) {
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -Infinity, End: Infinity };
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    if (list.places.includes(list.chosen)) byId("chat").focus();
    return;
  }
  if (!(event.key in steps) || !list.places.length) return;
  event.preventDefault();
  const from = list.places.indexOf(list.chosen);
  const at = Math.min(Math.max(from + steps[event.key], 0), list.places.length - 1);
  chooseLine(list.places[at]);
  showLine(at);
}

function showLine(at) {
  const box = byId("list");
  const top = at * LINE_HEIGHT;
  if (top < box.scrollTop) box.scrollTop = top;
  else if (top + LINE_HEIGHT > box.scrollTop + box.clientHeight) box.scrollTop = top + LINE_HEIGHT - box.clientHeight;
  drawList();
}
