// What an assistant did: its texts, and between them its calls with what came back, each a step that is folded. Calls are
// numbered over the whole conversation, as the judge sees them, so that "call 2" in a reason leads to its step.

const SHORT = 200;
const PRETTY = 200_000;
const DEEPEST = 40;
const JSON_PARTS = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

// Messages that belong together: all that the assistant did in a row, up to the user's next message or one of `breaks`.
function blocksOf(messages, breaks = new Set()) {
  const blocks = [];
  messages.forEach((message, at) => {
    const isDeed = message.role === "assistant" || message.role === "tool";
    const last = blocks[blocks.length - 1];
    if (!isDeed || !last || !last.isDeed || breaks.has(at)) blocks.push({ at, isDeed, role: message.role, messages: [message] });
    else {
      last.messages.push(message);
      if (message.role === "assistant") last.role = "assistant";
    }
  });
  return blocks;
}

// Texts and steps in their order. `before` are the steps of earlier messages; a result may answer one of those.
function deedsOf(messages, before) {
  const parts = [];
  const steps = [];
  for (const message of messages) {
    if (message.role === "tool") {
      const isOpen = (step) => step.id === message.answers && step.result === null;
      const asked = steps.find(isOpen);
      if (asked) {
        asked.result = message.content;
        continue;
      }
      const earlier = before.findLast((step) => step.id === message.answers);
      const name = earlier ? earlier.name : message.name;
      parts.push({ step: { name, arguments: null, result: message.content, number: earlier ? earlier.number : null } });
      continue;
    }
    if (message.content.trim()) parts.push({ text: message.content });
    if (message.ended) parts.push({ ended: message.ended });
    for (const call of message.calls || []) {
      const step = { ...call, result: null, number: before.length + steps.length + 1 };
      steps.push(step);
      parts.push({ step });
    }
  }
  return { parts, steps };
}

// Shows what `deedsOf` found. `against` is what differences are marked against, the text and the calls of the other side;
// without `isWhole`, results may follow in other messages.
function deedsView(messages, before, { against = null, isWhole = true } = {}) {
  const { parts, steps } = deedsOf(messages, before);
  const elements = [];
  const texts = [];
  let group = null;
  for (const { step, text, ended } of parts) {
    if (step) {
      if (!group) elements.push((group = h("ol", { class: "steps", "aria-label": "Calls of tools" })));
      group.append(stepView(step, against, isWhole));
    } else if (ended) {
      elements.push(h("p", { class: "note" }, ended === "empty" ? "says nothing" : `the reply was ${ended} here`));
    } else {
      group = null;
      const remarks = h("div", { class: "reasons", hidden: true });
      elements.push(said(text, against === null ? undefined : (shown) => differing(shown, against.text)), remarks);
      texts.push({ text, remarks });
    }
  }
  if (!parts.length) elements.push(h("p", { class: "note" }, "says nothing"));
  return { elements, steps, texts };
}

function stepView(step, against, isWhole) {
  const line = step.arguments === null ? `result of ${step.name || "no call"}` : callLine(step);
  const summary = h(
    "summary",
    {},
    h("span", { class: "number" }, step.number === null ? "?" : String(step.number)),
    h("code", { class: "call" }, against === null || step.arguments === null ? line : differing(line, against.calls)),
    h("span", { class: "came" }, cameBack(step)),
  );
  step.chips = h("span", { class: "chips" });
  if (step.arguments !== null && !isObject(step.arguments)) step.chips.append(chip("broken arguments", "bad"));
  if (step.result === null && isWhole) step.chips.append(chip("no result", "look"));
  if (step.result !== null && isError(step.result)) step.chips.append(chip("error", "bad"));
  if (step.arguments !== null && !step.name) step.chips.append(chip("no name", "bad"));
  summary.append(step.chips);
  step.remarks = h("div", { class: "reasons", hidden: true });
  step.details = h(
    "details",
    {},
    summary,
    h(
      "div",
      { class: "deed" },
      step.arguments === null ? null : [h("p", { class: "who" }, "Arguments"), codeOf(step.arguments)],
      step.result === null ? null : [h("p", { class: "who" }, "Result"), codeOf(step.result)],
      step.remarks,
    ),
  );
  return h("li", { class: "step" }, step.details);
}

const chip = (words, mood = "") => h("span", { class: `chip ${mood}` }, words);

function cameBack(step) {
  if (step.result === null) return "";
  const words = step.result.slice(0, 4 * SHORT).split(/\s+/).join(" ").trim();
  return `→ ${shortened(words) || "nothing"}`;
}

const shortened = (text) => (text.length > SHORT ? `${text.slice(0, SHORT)}…` : text);

// `look_up(order=5)`. Numbers beyond what JavaScript can hold stay as they were written.
function callLine(step) {
  const value = /\d{16}/.test(step.arguments) ? null : parsed(step.arguments);
  const given = value === null ? step.arguments : Object.entries(value).map(([name, each]) => `${name}=${JSON.stringify(each)}`).join(", ");
  return `${step.name || "?"}(${shortened(given)})`;
}

// A JSON object, or null. No text at all means no arguments.
function parsed(text) {
  try {
    const value = JSON.parse(text.trim() || "{}");
    return value !== null && typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

const isObject = (text) => parsed(text) !== null;

// Tools of this package and most others begin with the word where something went wrong, or have it as a field.
function isError(result) {
  if (/^\s*error\b/i.test(result)) return true;
  const value = result.length < PRETTY ? parsed(result) : null;
  return value !== null && Boolean(value.error);
}

// JSON with a line for each value, its numbers and texts as they were written; other text as it is.
function pretty(text) {
  if (text.length > PRETTY || !/^\s*[[{]/.test(text)) return text;
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  let depth = 0;
  let before = "";
  let out = "";
  for (const [part] of text.matchAll(JSON_PARTS)) {
    if (part === "}" || part === "]") {
      depth -= 1;
      if (before !== "{" && before !== "[") out += `\n${"  ".repeat(depth)}`;
    } else if (before === "{" || before === "[" || before === ",") out += `\n${"  ".repeat(depth)}`;
    out += part === ":" ? ": " : part;
    if (part === "{" || part === "[") depth += 1;
    if (depth > DEEPEST) return text;
    before = part;
  }
  return out;
}

// Arguments or a result in full, or without its middle and with a button for the rest.
function codeOf(text) {
  const shown = pretty(text);
  if (!shown.trim()) return h("p", { class: "note" }, "empty");
  const box = h("div", { class: "said code", dir: "auto" });
  const leftOut = shown.length - LONG;
  if (leftOut <= 0) {
    box.append(...visible(shown));
    return box;
  }
  const more = h("button", { type: "button", class: "more" }, `Show all ${shown.length.toLocaleString("en")} characters`);
  more.addEventListener("click", () => {
    box.replaceChildren(...visible(shown));
    markHits(box);
    more.remove();
  });
  box.append(
    ...visible(shown.slice(0, LONG / 2)),
    h("span", { class: "left-out" }, `\n… ${counted(leftOut, "character")} left out …\n`),
    ...visible(shown.slice(-LONG / 2)),
  );
  return h("div", {}, box, more);
}

// The text of a call or a message, to search in.
const wordsOfMessage = (message) =>
  [message.content, ...(message.calls || []).map((call) => `${call.name} ${call.arguments}`)].join("\n");

// A judge's reason, in which the calls that it speaks of are buttons that lead to them, and which is shown beside those:
// calls by number, tools by name, texts by a passage of theirs.

const PASSAGE = 16;
const BETWEEN_PASSAGES = /[.:;!?\n"“”«»]+|(?<!\p{L})['‘]|['’](?!\p{L})/u;

// `led` is what it may speak of: steps, of which the first are `history`, and texts; `own` are those of the future that it
// is on, whose name is `who`.
function reasonOf({ metric, note, metrics, who }, led) {
  const near = led.steps.slice(led.history);
  const meant = new Map();
  for (const match of note.matchAll(/\bcalls?\s+#?(\d+)\b/gi)) {
    const found = led.steps.filter((step) => step.number === Number(match[1]));
    if (found.length) meant.set(match.index, { words: match[0], found });
  }
  for (const name of meant.size ? [] : new Set(near.map((step) => step.name))) {
    const at = placeOfTool(note, name);
    if (at >= 0) meant.set(at, { words: name, found: near.filter((step) => step.name === name) });
  }
  const spokenOf = new Set([...meant.values()].flatMap(({ found }) => found));
  const value = metrics[metric] === undefined ? "" : ` ${fixed(metrics[metric])}`;
  const title = (one) => `${spoken(metric)}${value}${led.own.has(one) ? "" : `, ${who}`}`;
  for (const step of near.filter((each) => spokenOf.has(each))) {
    remark(step.remarks, title(step), note);
    const label = spoken(metric);
    if (![...step.chips.children].some((each) => each.textContent === label)) step.chips.append(chip(label, "judge"));
  }
  for (const text of led.texts.filter((each) => quotes(note, each.text))) remark(text.remarks, title(text), note);
  const parts = [];
  let from = 0;
  for (const [at, { words, found }] of [...meant].sort(([a], [b]) => a - b)) {
    if (at < from) continue;
    parts.push(note.slice(from, at), h("button", { type: "button", class: "to-step", click: () => showStep(found[0]) }, words));
    from = at + words.length;
  }
  return h("p", { dir: "auto" }, h("b", {}, `${spoken(metric)}: `), parts, note.slice(from));
}

function remark(box, title, note) {
  box.append(h("p", { dir: "auto" }, h("b", {}, `${title}: `), note));
  box.hidden = false;
}

// Where a reason names a tool. A name that is also a word has to stand in quotation marks or before a bracket.
function placeOfTool(note, name) {
  if (name.length < 3) return -1;
  const isWord = !/[^a-z]/i.test(name) && !/[a-z][A-Z]/.test(name);
  for (let at = note.indexOf(name); at >= 0; at = note.indexOf(name, at + 1)) {
    const [before, after] = [note[at - 1] || " ", note[at + name.length] || " "];
    if (/\w/.test(before) || /\w/.test(after)) continue;
    if (!isWord || after === "(" || /["'`‘“]/.test(before)) return at;
  }
  return -1;
}

// Whether a reason repeats a passage of a text, or a text a passage of the reason, in quotation marks or without.
function quotes(note, text) {
  const passages = (from) => from.split(BETWEEN_PASSAGES).map(plain).filter((each) => each.length >= PASSAGE);
  const [inNote, inText] = [plain(note), plain(text)];
  return passages(note).some((each) => inText.includes(each)) || passages(text).some((each) => inNote.includes(each));
}

const plain = (text) => text.toLowerCase().replace(/\s+/g, " ").trim();

function showStep(step) {
  for (let each = step.details; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
  step.details.scrollIntoView({ block: "center" });
  step.details.firstElementChild.focus({ preventScroll: true });
}
