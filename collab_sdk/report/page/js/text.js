// What chats say, as text. Characters that are invisible or turn the text around them are shown by their number;
// joiners stay, as emoji and several scripts need them.

const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;
const LONG = 3000;

function hiddenChar(char) {
  const code = `U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  return h("span", { class: "hidden-char", title: `Hidden character ${code}` }, code);
}

// The parts of a text: strings, and an element for each hidden character.
function visible(text) {
  const parts = [];
  let from = 0;
  for (const match of text.matchAll(HIDDEN)) {
    parts.push(text.slice(from, match.index), hiddenChar(match[0]));
    from = match.index + match[0].length;
  }
  parts.push(text.slice(from));
  return parts;
}

// A text in full, or its beginning and a button for the rest, unless what is searched for is there. `marked` makes the parts of what is shown.
function said(text, marked = (shown) => [shown]) {
  if (text.length <= LONG || hitsIn(text, finder.needle).some(([, to]) => to > LONG)) return h("div", { class: "said", dir: "auto" }, marked(text));
  const box = h("div", { class: "said", dir: "auto" }, marked(text.slice(0, LONG)), "…");
  const more = h("button", { type: "button", class: "more" }, `Show all ${text.length.toLocaleString("en")} characters`);
  more.addEventListener("click", () => {
    box.replaceChildren(...visible(text));
    markHits(box);
    more.remove();
  });
  return h("div", {}, box, more);
}
