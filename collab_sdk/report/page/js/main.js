// Which view is shown, by the address.

const VIEWS = ["overview", "conversations", "review"];
const SHOWN_IN = { conversation: "conversations" };

async function openChat(place, turn) {
  const chat = await chatAt(place);
  if (list.chosen !== place) return; // another was chosen meanwhile
  const article = byId("chat");
  const back = h("button", { type: "button", class: "back", click: () => {
    delete byId("view-conversations").dataset.open;
    setAddress("conversations");
    byId("list").focus();
  } }, "‹ All conversations");
  if (turn === undefined) setAddress("conversation", chat.key);
  const parts = chat.turns ? chatView(chat, turn) : chat.plays ? playsView(chat) : usersView(chat);
  article.replaceChildren(back, ...parts.filter(Boolean));
  byId("view-conversations").dataset.open = "chat";
  markHits(article);
  const opener = turn === undefined ? null : article.querySelector(`[data-turn="${Number(turn)}"]`);
  if (opener) opener.closest(".turn").scrollIntoView({ block: "start" });
  else if (!goToHit(article)) window.scrollTo(0, 0);
}

function showView(name) {
  for (const view of VIEWS) {
    const section = byId(`view-${view}`);
    if (section) section.hidden = view !== name;
  }
  for (const link of document.querySelectorAll(".top nav a")) {
    if (link.getAttribute("href") === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (name === "conversations") drawList();
}

async function route() {
  const [first, ...rest] = address();
  const view = SHOWN_IN[first] || first;
  if (!VIEWS.includes(view) || !byId(`view-${view}`)) return;
  showView(view);
  if (view === "review") await showReview(rest[0]);
  if (first === "conversation" && index.byKey.has(rest[0])) {
    const place = index.byKey.get(rest[0]);
    list.chosen = place;
    showLine(list.places.indexOf(place));
    await openChat(place, rest[1] === undefined ? undefined : Number(rest[1]));
  }
  if (first === "conversations" && list.chosen < 0 && index.lines.length && innerWidth > 860) chooseLine(list.places[0]);
}

async function start() {
  startTheme();
  try {
    await openIndex();
  } catch (error) {
    byId("main").prepend(h("p", { class: "failed", role: "alert" }, error.message));
    return;
  }
  await startList((place) => openChat(place));
  if (byId("view-review")) startReview();
  addEventListener("hashchange", route);
  await route();
  document.documentElement.dataset.ready = "yes";
}

start();
