// What outlives a view: the address, the theme, and what the browser keeps.

const kept = {
  get(name) {
    try {
      return JSON.parse(localStorage.getItem(`collab-report:${name}`));
    } catch {
      return null; // storage is switched off, or holds what is not ours
    }
  },
  set(name, value) {
    try {
      localStorage.setItem(`collab-report:${name}`, JSON.stringify(value));
      return true;
    } catch {
      return false;
    }
  },
};

// `#conversation/KEY/TURN`, `#review/PAIR`, `#overview`: [view, ...rest].
function address() {
  const parts = location.hash.slice(1).split("/");
  return parts.map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
}

function setAddress(...parts) {
  const hash = `#${parts.map((part) => encodeURIComponent(part)).join("/")}`;
  if (location.hash !== hash) history.replaceState(null, "", hash);
}

// A link to a place of the page, which copies itself where the browser lets it.
function linkTo(what, ...parts) {
  const href = `#${parts.map((part) => encodeURIComponent(part)).join("/")}`;
  const said = h("span", { "aria-live": "polite" }, "Copy link");
  const link = h("a", { class: "link", href }, said, h("span", { class: "unseen" }, ` to ${what}`));
  link.addEventListener("click", async (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    setAddress(...parts);
    try {
      await navigator.clipboard.writeText(location.href);
      said.textContent = "Copied";
    } catch {
      said.textContent = "The link is in the address bar"; // the browser lets no page write to the clipboard
    }
    setTimeout(() => (said.textContent = "Copy link"), 2_000);
  });
  return link;
}

const prefersDark = matchMedia("(prefers-color-scheme: dark)");

function startTheme() {
  const button = byId("theme");
  const show = () => {
    const theme = kept.get("theme");
    if (theme) document.documentElement.dataset.theme = theme;
    const isDark = theme ? theme === "dark" : prefersDark.matches;
    button.setAttribute("aria-pressed", String(isDark));
  };
  button.addEventListener("click", () => {
    const next = button.getAttribute("aria-pressed") === "true" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    button.setAttribute("aria-pressed", String(next === "dark"));
    kept.set("theme", next);
  });
  prefersDark.addEventListener("change", show);
  show();
}
