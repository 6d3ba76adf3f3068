// A candidate with its futures as branches: what was played, what it earned, and why the judge said so.

function metricsOf(metrics) {
  const names = Object.keys(metrics);
  if (!names.length) return null;
  return h("p", { class: "metrics" }, names.map((name) => h("span", {}, `${spoken(name)} `, h("b", {}, fixed(metrics[name])))));
}

// `led` is what led to it: the steps so far, how many of them are `history`, and the texts of the response.
function futureOf(future, name, isOpen, led) {
  const summary = h("summary", {}, `${name} `, h("span", { class: "reward" }, future.error ? "failed" : fixed(future.reward)));
  if (future.end && (!future.error || future.end === "user failed")) summary.append(" ", h("span", { class: "end" }, `· ${future.end}`));
  const body = h("div", { class: "future" });
  const who = [future.user, future.persona].filter(Boolean).join(", ");
  if (who) body.append(h("p", { class: "note player", dir: "auto" }, `Played by ${who}`));
  const now = { steps: [...led.steps], history: led.history, texts: [...led.texts], own: new Set() };
  for (const block of blocksOf(future.messages)) {
    const done = deedsView(block.messages, now.steps);
    body.append(h("div", { class: "line" }, h("span", {}, block.role), h("div", {}, done.elements)));
    now.steps.push(...done.steps);
    if (block.isDeed) now.texts.push(...done.texts);
    for (const one of [...done.steps, ...done.texts]) now.own.add(one);
  }
  if (future.error) body.append(h("p", { class: "failed" }, future.error));
  const metrics = metricsOf(future.metrics);
  if (metrics) body.append(metrics);
  const notes = Object.entries(future.notes);
  if (notes.length || future.reason) {
    body.append(
      h(
        "div",
        { class: "reasons" },
        notes.map(([metric, note]) => reasonOf({ metric, note, metrics: future.metrics, who: name.toLowerCase() }, now)),
        future.reason ? h("p", { dir: "auto" }, h("b", {}, "The user left: "), future.reason) : null,
      ),
    );
  }
  return h("li", {}, h("details", { open: isOpen }, summary, body));
}

function branchesOf(candidate, open, led) {
  const items = candidate.futures.map((future, place) => futureOf(future, `Future ${place + 1}`, place < open, led));
  if (candidate.observed) items.push(futureOf(candidate.observed, "What really followed", false, led));
  return items.length ? h("ol", { class: "branches", "aria-label": "Futures" }, items) : null;
}

const ROLES = { chosen: "Chosen", rejected: "Rejected", other: "Candidate" };

// What a candidate says and calls, for differences to be marked against.
const sideOf = (candidate) => ({
  text: candidate.text,
  calls: deedsOf(candidate.messages, []).steps.map(callLine).join("\n"),
});

// Futures that agree are no proof that the next one will.
function errorOf({ stderr, n_ok }) {
  if (stderr === 0) return ` (${n_ok} alike)`;
  return fixed(stderr) === fixed(0) ? ` ± <${fixed(0.01)}` : ` ± ${fixed(stderr)}`;
}

// `role` is chosen, rejected or other; `against` is the candidate that differences are marked against, if any; `before`
// are the steps that led to it.
function candidateCard(candidate, role, against, before, open = 1) {
  const goesOn = [...candidate.futures, candidate.observed].some((future) => future?.messages[0]?.role === "tool");
  const options = { against: against && sideOf(against), isWhole: !goesOn };
  const { elements, steps, texts } = deedsView(candidate.messages, before, options);
  const score = h("span", { class: "mr" }, candidate.mr === null ? "no score" : `${facts.score} ${fixed(candidate.mr)}`);
  if (candidate.stderr !== null && candidate.mr !== null) score.append(h("small", {}, errorOf(candidate)));
  const bounds = candidate.bounds ? `, ${facts.score} ${candidate.bounds.map((end) => fixed(end)).join(" to ")} with them` : "";
  const lost = candidate.lost
    ? h("p", { class: "lost" }, `${candidate.n ? `${candidate.lost} of ${counted(candidate.n, "future")}` : counted(candidate.lost, "future")} lost${bounds}`)
    : null;
  return h(
    "div",
    { role: "group", class: `card candidate ${role}`, "aria-label": `${ROLES[role]} response` },
    h(
      "header",
      {},
      h("h3", {}, ROLES[role]),
      candidate.source ? h("span", { class: "chip" }, candidate.source) : null,
      score,
    ),
    lost,
    h("div", { class: "response" }, elements),
    metricsOf(candidate.metrics),
    branchesOf(candidate, open, { steps: [...before, ...steps], history: before.length, texts }),
  );
}
