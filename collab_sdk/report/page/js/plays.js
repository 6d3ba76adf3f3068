// What is no logged chat: bots side by side in one conversation, and simulated users beside real ones.

function playsView(chat) {
  const steps = [];
  const opening = chat.messages.length ? h("div", { class: "talk flat" }, bubbles(chat.messages, steps)) : null;
  const cards = chat.plays.map((play) =>
    h(
      "div",
      { role: "group", class: "card candidate", "aria-label": `What ${play.bot} made of it` },
      h("header", {}, h("h3", {}, play.bot), h("span", { class: "mr" }, play.error ? "failed" : fixed(play.reward))),
      h("ol", { class: "branches" }, futureOf(play, "The conversation", true, { steps, history: 0, texts: [] })),
      play.questions.length
        ? h("p", { class: "note" }, `${play.questions.filter(Boolean).length} of ${counted(play.questions.length, "question")} changed the outcome.`)
        : null,
    ),
  );
  return [headOf(chat), opening, h("div", { class: "panel" }, h("div", { class: "candidates" }, cards))];
}

function usersView(chat) {
  const users = new Map(chat.users.map((user) => [user.at, user]));
  const talk = h("div", { class: "talk flat" });
  const steps = [];
  for (const block of blocksOf(chat.messages, new Set(users.keys()))) {
    const user = users.get(block.at);
    if (user) talk.append(userPanel(user));
    if (!user || block.role !== "user") talk.append(bubble(block, steps));
  }
  const last = users.get(chat.messages.length);
  if (last) talk.append(userPanel(last));
  return [headOf(chat), talk];
}

function userPanel(user) {
  const real = h("div", { role: "group", class: "card candidate", "aria-label": "The real user" });
  real.append(h("header", {}, h("h3", {}, "Real user")), spokenBy(user.real.message, user.real.stops, ""));
  const simulated = h("div", { role: "group", class: "card candidate simulated", "aria-label": "The simulated user" });
  simulated.append(h("header", {}, h("h3", {}, "Simulated user")));
  if (user.simulated) simulated.append(spokenBy(user.simulated.message, user.simulated.stops, user.simulated.reason));
  else simulated.append(h("p", { class: "failed" }, user.error || "missing"));
  return h("div", { class: "panel" }, h("div", { class: "candidates" }, real, simulated));
}

function spokenBy(message, stops, reason) {
  return h(
    "div",
    {},
    message.trim() ? said(message) : h("p", { class: "note" }, "says nothing"),
    stops ? h("p", { class: "note" }, "leaves", reason ? [": ", reason] : ".") : null,
  );
}
