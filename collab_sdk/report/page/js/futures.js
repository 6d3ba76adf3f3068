// A candidate with its futures as branches: what was played, what it earned, and why the judge said so.

function metricsOf(metrics) {
  const names = Object.keys(metrics);
  if (!names.length) return null;
  return h("p", { class: "metrics" }, names.map((name) => h("span", {}, `${spoken(name)} `, h("b", {}, fixed(metrics[name])))));
}

function futureOf(future, name, isOpen) {
  const summary = h("summary", {}, `${name} `, h("span", { class: "reward" }, future.error ? "failed" : fixed(future.reward)));
  if (future.end && !future.error) summary.append(" ", h("span", { class: "end" }, `· ${future.end}`));
  const body = h("div", { class: "future" }, future.messages.map((message) => lineOf(message)));
  if (future.error) body.append(h("p", { class: "failed" }, future.error));
  const metrics = metricsOf(future.metrics);
  if (metrics) body.append(metrics);
  const notes = Object.entries(future.notes);
  if (notes.length || future.reason) {
    body.append(
      h(
        "div",
        { class: "reasons" },
        notes.map(([metric, note]) => h("p", { dir: "auto" }, h("b", {}, `${spoken(metric)}: `), note)),
        future.reason ? h("p", { dir: "auto" }, h("b", {}, "The user left: "), future.reason) : null,
      ),
    );
  }
  return h("li", {}, h("details", { open: isOpen }, summary, body));
}

function lineOf(message) {
  return h("div", { class: "line" }, h("span", {}, message.role), h("div", {}, said(message.content), callsOf(message)));
}

const callsOf = (message) => (message.calls ? h("div", { class: "calls" }, message.calls) : null);

function branchesOf(candidate, open = 1) {
  const items = candidate.futures.map((future, place) => futureOf(future, `Future ${place + 1}`, place < open));
  if (candidate.observed) items.push(futureOf(candidate.observed, "What really followed", false));
  return items.length ? h("ol", { class: "branches", "aria-label": "Futures" }, items) : null;
}

const ROLES = { chosen: "Chosen", rejected: "Rejected", other: "Candidate" };

// `role` is chosen, rejected or other; `against` is the text that differences are marked against.
function candidateCard(candidate, role, against, open = 1) {
  const score = h("span", { class: "mr" }, candidate.mr === null ? "no score" : `MR ${fixed(candidate.mr)}`);
  if (candidate.stderr !== null && candidate.mr !== null) score.append(h("small", {}, ` ± ${fixed(candidate.stderr)}`));
  if (candidate.n_ok < candidate.n) score.append(h("small", {}, ` (${candidate.n_ok} of ${candidate.n})`));
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
    said(candidate.text, against === null ? undefined : (text) => differing(text, against)),
    metricsOf(candidate.metrics),
    branchesOf(candidate, open),
  );
}
