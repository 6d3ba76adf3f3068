// A conversation with the MR of each assistant turn as a curve beside it: each point stands at the height of its message,
// which no chart library can do, as it lays out neither the chat nor the turn that somebody opens in between.

function roleOf(turn, place) {
  if (turn.pair && turn.pair.chosen === place) return "chosen";
  if (turn.pair && turn.pair.rejected === place) return "rejected";
  return "other";
}

function shownCandidate(turn) {
  const logged = turn.candidates.find((candidate) => candidate.source === "logged");
  const scored = turn.candidates.filter((candidate) => candidate.mr !== null).sort((a, b) => b.mr - a.mr);
  return logged || scored[0] || turn.candidates[0] || null;
}

// A message, or all that the assistant did in a row. `steps` are those before it, to which its own are added.
function bubble(block, steps) {
  const done = deedsView(block.messages, steps);
  steps.push(...done.steps);
  return h(
    "div",
    { class: `turn ${["user", "assistant", "system"].includes(block.role) ? block.role : "tool"}` },
    h("p", { class: "who" }, block.role),
    h("div", { class: "bubble" }, done.elements),
  );
}

const bubbles = (messages, steps = []) => blocksOf(messages).map((block) => bubble(block, steps));

function headOf(chat) {
  const head = h(
    "header",
    { class: "chat-head" },
    h("h3", { dir: "auto" }, chat.id || "A chat without an id"),
    linkTo("this conversation", "conversation", chat.key),
  );
  if (chat.goal) head.append(h("div", { class: "goal" }, h("b", {}, "The user wants"), said(chat.goal)));
  return head;
}

// `openTurn` is counted from 1, as people and addresses do.
function chatView(chat, openTurn) {
  const turns = new Map(chat.turns.map((turn) => [turn.at, turn]));
  const known = chat.turns.map(shownCandidate).filter((one) => one && one.mr !== null);
  const values = known.map((candidate) => candidate.mr);
  const scale = { low: index.low, high: index.high };
  const talk = h("div", { class: values.length ? "talk" : "talk flat" });
  if (values.length) {
    const ends = scale.high > scale.low ? [scale.low, scale.high] : []; // one value needs no scale
    const [low, high] = ends.map((end) => h("span", {}, fixed(end)));
    talk.append(h("p", { class: "scale", "aria-hidden": "true" }, low, h("span", {}, facts.score), high));
  }
  const messages = [...chat.messages];
  const last = chat.turns[chat.turns.length - 1];
  const shown = last && shownCandidate(last);
  if (shown && last.at >= messages.length) messages.push(...shown.messages);
  const marks = [];
  const steps = [];
  for (const block of blocksOf(messages, new Set(turns.keys()))) {
    const turn = turns.get(block.at);
    const before = [...steps];
    const element = bubble(block, steps);
    talk.append(element);
    if (!turn) continue;
    const candidate = shownCandidate(turn);
    if (candidate && candidate.mr !== null) marks.push(markOf(talk, element, candidate.mr, scale));
    const link = ["conversation", chat.key, turn.turn + 1];
    attachTurn(element, turn, { unit: chat.per, before, isOpen: link[2] === openTurn, link });
  }
  if (marks.length > 1) drawCurve(talk, marks);
  return [headOf(chat), talk];
}

function markOf(talk, element, mr, scale) {
  const rail = h("div", { class: "rail", "aria-hidden": "true" });
  const mark = h("span", { class: "mark" });
  const value = h("span", { class: "value" }, fixed(mr));
  const share = (mr - scale.low) / (scale.high - scale.low || 1);
  mark.style.left = value.style.left = `${14 + 72 * (scale.high > scale.low ? share : 0.5)}%`;
  rail.append(mark, value);
  element.after(rail);
  return mark;
}

// Lines between the marks, drawn again whenever the chat's layout changes.
function drawCurve(talk, marks) {
  const line = svg("polyline", { class: "curve" });
  talk.append(svg("svg", { "aria-hidden": "true" }, line));
  const draw = () => {
    const box = talk.getBoundingClientRect();
    const centre = (mark) => {
      const at = mark.getBoundingClientRect();
      return `${at.left - box.left + at.width / 2},${at.top - box.top + at.height / 2}`;
    };
    line.setAttribute("points", marks.map(centre).join(" "));
  };
  new ResizeObserver(draw).observe(talk);
}

const lostOf = (turn) => turn.candidates.reduce((sum, candidate) => sum + candidate.lost, 0);

// `unit` is what is scored, a turn or a decision; `before` are the steps that led to it, `link` is
// its address.
function attachTurn(element, turn, { unit, before, isOpen, link }) {
  const candidate = shownCandidate(turn);
  const name = `${unit === "decision" ? "Decision" : "Turn"} ${turn.turn + 1}`;
  const label = [name];
  if (candidate && candidate.mr !== null) label.push(`${facts.score} ${fixed(candidate.mr)}`);
  const others = turn.candidates.length;
  const hits = h("span", { class: "chip hits", hidden: true });
  const button = h(
    "button",
    { type: "button", class: "quiet opener", "aria-expanded": "false", "data-turn": turn.turn + 1 },
    h("span", { class: "chevron", "aria-hidden": "true" }, "›"),
    h("span", {}, label.join(" · ")),
    turn.pair ? h("span", { class: "chip good" }, `pair, margin ${fixed(turn.pair.margin)}${sureness(turn.pair)}`) : null,
    !turn.pair && facts.kind === "pairs" ? h("span", { class: "chip" }, "no pair") : null,
    others > 1 ? h("span", { class: "note" }, counted(others, "candidate")) : null,
    lostOf(turn) ? h("span", { class: "chip look" }, `${counted(lostOf(turn), "future")} lost`) : null,
    hits,
  );
  button.countHits = () => {
    const found = hitsOfTurn(turn);
    hits.hidden = !found;
    hits.textContent = found ? counted(found, "hit") : "";
  };
  button.countHits();
  element.append(h("div", { class: "opening" }, button, linkTo(name, ...link)));
  let panel = null;
  const toggle = (open) => {
    button.setAttribute("aria-expanded", String(open));
    if (open && !panel) {
      panel = turnPanel(turn, before);
      markHits(panel);
      (element.nextElementSibling?.classList.contains("rail") ? element.nextElementSibling : element).after(panel);
    }
    if (panel) panel.hidden = !open;
    if (open) setAddress(...link);
  };
  button.addEventListener("click", () => toggle(button.getAttribute("aria-expanded") !== "true"));
  if (isOpen) toggle(true);
}

function turnPanel(turn, before) {
  const chosen = turn.pair ? turn.candidates[turn.pair.chosen] : null;
  const rejected = turn.pair ? turn.candidates[turn.pair.rejected] : null;
  const rank = { chosen: 0, rejected: 1, other: 2 };
  const cards = turn.candidates
    .map((candidate, place) => [roleOf(turn, place), candidate])
    .sort(([a], [b]) => rank[a] - rank[b])
    .map(([role, candidate]) => {
      const against = { chosen: rejected, rejected: chosen }[role] ?? null;
      return candidateCard(candidate, role, against, before, facts.kind === "scores" ? 9 : 1);
    });
  const why = h("p", { class: "why" });
  if (turn.pair) why.append(h("span", {}, `Margin ${fixed(turn.pair.margin)}${sureness(turn.pair)}.`));
  if (turn.pair && turn.held_out) why.append(h("span", { class: "chip" }, "held out"));
  if (turn.pair) why.append(h("a", { href: `#review/${turn.pair.id}` }, "Review this pair"));
  if (turn.refused) why.append(h("span", {}, "No pair: ", turn.refused, "."));
  if (turn.review) why.append(h("span", { class: "chip" }, reviewedBy(turn.review)));
  for (const reason of turn.lost) why.append(h("span", { class: "failed" }, "A candidate is missing: ", reason));
  const panel = h("div", { class: "panel" }, why.childNodes.length ? why : null, h("div", { class: "candidates" }, cards));
  if (turn.goals.length > 1) {
    panel.append(h("div", { class: "goal" }, h("b", {}, "Goals of the futures, in turn"), turn.goals.map((goal) => said(goal))));
  }
  return panel;
}

const reviewedBy = (review) => `${review.decision || "reviewed"}${review.by ? ` by ${review.by}` : ""}`;
