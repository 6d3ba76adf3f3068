// One pair after the other: keep, flip or drop with a key each. What is decided stays in the browser, and is saved as a
// file that `collab report --apply` takes.

const DECISIONS = { k: "keep", f: "flip", d: "drop" };
const DONE = { keep: "Kept", flip: "Flipped", drop: "Dropped" };
const review = { by: "", decisions: {}, past: [], queue: [], at: 0, order: "unsure", hasKeys: true, shown: null, run: 0 };

function startReview() {
  const saved = kept.get(facts.digest);
  if (saved && typeof saved === "object") Object.assign(review, saved);
  orderQueue();
  document.addEventListener("keydown", onReviewKey);
}

const remember = () => {
  const { by, decisions, past, order, hasKeys } = review;
  return kept.set(facts.digest, { by, decisions, past: past.slice(-200), order, hasKeys });
};

// A pair is [id, place of its conversation, place of its turn, margin, confidence].
function orderQueue() {
  const places = index.pairs.map((_, place) => place);
  const margin = (place) => index.pairs[place][3] ?? -Infinity;
  const confidence = (place) => index.pairs[place][4] ?? Infinity;
  const compared = (a, b) => (a === b ? 0 : a < b ? -1 : 1); // two that are missing have no difference
  const by = {
    margin: (a, b) => compared(margin(b), margin(a)) || a - b,
    unsure: (a, b) => compared(confidence(a), confidence(b)) || compared(margin(a), margin(b)) || a - b,
  };
  review.queue = by[review.order] ? places.sort(by[review.order]) : places;
}

const decidedCount = () => index.pairs.filter(([id]) => review.decisions[id]).length;

async function showReview(pairId) {
  if (pairId !== undefined && index.byPair.has(pairId)) review.at = review.queue.indexOf(index.byPair.get(pairId));
  else if (pairId === undefined) review.at = Math.max(0, nextOpen(0));
  const [id, chatPlace, turnPlace] = index.pairs[review.queue[review.at]];
  const run = ++review.run;
  review.shown = null; // until it is, nobody decides on what they cannot see
  setAddress("review", id);
  const chat = await chatAt(chatPlace);
  if (run !== review.run) return; // another pair was asked for meanwhile
  const turn = chat.turns[turnPlace];
  const [chosen, rejected] = [turn.candidates[turn.pair.chosen], turn.candidates[turn.pair.rejected]];
  const before = chat.messages.slice(0, turn.at);
  const steps = [];
  const shown = bubbles(before, steps);
  const earlier = shown.slice(0, -3);
  byId("review").replaceChildren(
    reviewBar(),
    h(
      "div",
      { class: "context" },
      chat.goal ? h("div", { class: "goal" }, h("b", {}, "The user wants"), said(chat.goal)) : null,
      earlier.length
        ? h("details", {}, h("summary", {}, counted(earlier.length, "earlier message")), h("div", { class: "talk flat" }, earlier))
        : null,
      h("div", { class: "talk flat" }, shown.slice(-3)),
    ),
    h(
      "div",
      { class: "candidates" },
      candidateCard(chosen, "chosen", rejected, steps, 0),
      candidateCard(rejected, "rejected", chosen, steps, 0),
    ),
    decideBar(id),
    placeBar(chat, turn),
  );
  review.shown = id;
}

function reviewBar() {
  const done = decidedCount();
  const name = h("input", { type: "text", id: "reviewer", value: review.by, autocomplete: "name", maxlength: 100, input: (event) => {
    review.by = event.target.value.trim();
    remember();
  } });
  const order = h("select", { change: (event) => {
    review.order = event.target.value;
    orderQueue();
    remember();
    showReview();
  } });
  for (const [value, words] of [["unsure", "Least certain first"], ["margin", "Largest margin first"], ["file", "In file order"]]) {
    order.append(h("option", { value, selected: value === review.order }, words));
  }
  const keys = h("input", { type: "checkbox", checked: review.hasKeys, change: (event) => {
    review.hasKeys = event.target.checked;
    remember();
  } });
  return h(
    "div",
    { class: "bar" },
    h("label", { class: "grow" }, `${done.toLocaleString("en")} of ${counted(index.pairs.length, "pair")} reviewed`,
      h("progress", { max: index.pairs.length, value: done })),
    h("label", {}, "Your name", name),
    h("label", {}, "Order", order),
    h("label", { class: "check" }, keys, "Single keys"),
    h("button", { type: "button", class: "main", id: "save", disabled: done === 0, click: saveDecisions }, "Save decisions"),
  );
}

function decideBar(id) {
  const current = review.decisions[id]?.decision;
  const buttons = Object.entries(DECISIONS).map(([key, decision]) =>
    h(
      "button",
      { type: "button", "data-decision": decision, "aria-pressed": String(current === decision), "aria-keyshortcuts": key, click: () => decide(decision) },
      decision[0].toUpperCase() + decision.slice(1),
      h("kbd", { "aria-hidden": "true" }, key),
    ),
  );
  return h(
    "div",
    { class: "decide", role: "group", "aria-label": "Decide on this pair" },
    buttons,
    h("button", { type: "button", class: "quiet", "aria-keyshortcuts": "u", disabled: !review.past.length, click: undo }, "Undo", h("kbd", { "aria-hidden": "true" }, "u")),
  );
}

function placeBar(chat, turn) {
  const link = `#conversation/${encodeURIComponent(chat.key)}/${turn.turn + 1}`;
  return h(
    "div",
    { class: "where" },
    h("p", { class: "note" }, `Pair ${(review.at + 1).toLocaleString("en")} of ${review.queue.length.toLocaleString("en")} · margin ${fixed(turn.pair.margin)}${sureness(turn.pair)} · `, h("a", { href: link }, "whole conversation"), " ", linkTo("this pair", "review", turn.pair.id)),
    h("button", { type: "button", class: "quiet", "aria-label": "Previous pair", "aria-keyshortcuts": "p", disabled: review.at === 0, click: () => step(-1) }, "‹ Previous"),
    h("button", { type: "button", class: "quiet", "aria-label": "Next pair", "aria-keyshortcuts": "n", disabled: review.at + 1 === review.queue.length, click: () => step(1) }, "Next ›"),
  );
}

const idAt = (at) => index.pairs[review.queue[at]][0];

// The first pair from `at` on that nobody has decided on; -1 if there is none.
function nextOpen(at) {
  for (let next = at; next < review.queue.length; next++) if (!review.decisions[idAt(next)]) return next;
  return -1;
}

async function decide(decision) {
  const id = review.shown;
  if (id === null) return;
  review.past.push([id, review.decisions[id] ?? null]);
  review.decisions[id] = { decision, by: review.by, at: new Date().toISOString() };
  const isKept = remember();
  const done = decidedCount();
  const open = nextOpen(review.at + 1);
  if (open >= 0) review.at = open;
  await showReview(idAt(review.at));
  const left = index.pairs.length - done;
  const storage = isKept ? "" : " The browser keeps nothing: save before you close the page.";
  byId("said").textContent = `${DONE[decision]}. ${left ? `${left.toLocaleString("en")} left.` : "All pairs are reviewed."}${storage}`;
  focusDecision();
}

async function undo() {
  const last = review.past.pop();
  if (!last) return;
  const [id, before] = last;
  if (before) review.decisions[id] = before;
  else delete review.decisions[id];
  remember();
  await showReview(id);
  byId("said").textContent = "Undone.";
  focusDecision();
}

async function step(by) {
  review.at = Math.min(Math.max(review.at + by, 0), review.queue.length - 1);
  await showReview(idAt(review.at));
  focusDecision();
}

// The buttons are made anew for each pair; the focus stays with them.
const focusDecision = () => byId("review").querySelector("[data-decision]")?.focus({ preventScroll: true });

function onReviewKey(event) {
  if (byId("view-review").hidden || !review.hasKeys || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input[type=text], input[type=search], select, textarea")) return;
  const actions = { u: undo, n: () => step(1), p: () => step(-1), ArrowRight: () => step(1), ArrowLeft: () => step(-1) };
  const action = event.key in DECISIONS ? () => decide(DECISIONS[event.key]) : actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

function decisionsFile() {
  const decided = index.pairs.filter(([id]) => review.decisions[id]);
  return {
    schema: "collab/decisions/v1",
    of: { file: facts.name, pairs: index.pairs.length, digest: facts.digest },
    by: review.by,
    saved_at: new Date().toISOString(),
    decisions: decided.map(([id, chat]) => ({ pair: id, conversation_id: index.lines[chat].id, ...review.decisions[id], by: review.decisions[id].by || review.by })),
  };
}

function saveDecisions() {
  const text = `${JSON.stringify(decisionsFile(), null, 1)}\n`;
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const name = `${facts.name.replace(/\.jsonl$/, "").replace(/[^\p{L}\p{N}._-]/gu, "_")}.decisions.json`;
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  byId("said").classList.remove("unseen"); // what to type next is for everybody
  byId("said").textContent = `Saved ${name}. Apply it: collab report --apply ${typed(name)} ${typed(facts.name)} -o reviewed.jsonl`;
}

// A file's name as a shell takes it.
const typed = (name) => (/^[\w.-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`);
