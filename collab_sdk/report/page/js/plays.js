// What is no logged chat: bots side by side in one conversation, and simulated users beside real ones.

function playsView(chat) {
  const opening = chat.messages.length
    ? h("div", { class: "talk flat" }, chat.messages.map((message) => bubble(message)))
    : null;
  const cards = chat.plays.map((play) =>
    h(
      "div",
      { role: "group", class: "card candidate", "aria-label": `What ${play.bot} made of it` },
      h("header", {}, h("h3", {}, play.bot), h("span", { class: "mr" }, play.error ? "failed" : fixed(play.reward))),
      h("ol", { class: "branches" }, futureOf(play, "The conversation", true)),
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
  for (let place = 0; place <= chat.messages.length; place++) {
    const user = users.get(place);
    if (user) talk.append(userPanel(user));
    const isCompared = user && chat.messages[place]?.role === "user";
    if (place < chat.messages.length && !isCompared) talk.append(bubble(chat.messages[place]));
  }
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
