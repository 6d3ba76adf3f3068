// What is searched for, marked where it stands. Marks are made of text nodes alone, so that a hit that a difference or a
// hidden character runs through is marked in its parts, and nothing that a chat says is ever read as HTML.

const SEARCHED = ".said, .call, .came, .chat-head h3, .first";
const finder = { needle: "" };

// Lower case, with the place in the text that each unit of it comes from: some letters get longer.
function lowered(text) {
  const plain = text.toLowerCase();
  if (plain.length === text.length) return { plain, from: (at) => at };
  let low = "";
  const places = [];
  let at = 0;
  for (const char of text) {
    for (const unit of char.toLowerCase().split("")) {
      low += unit;
      places.push(at);
    }
    at += char.length;
  }
  return { plain: low, from: (place) => places[place] ?? text.length };
}

// Where the needle is in a text, as [from, to].
function hitsIn(text, needle) {
  const hits = [];
  if (!needle) return hits;
  const { plain, from } = lowered(text);
  for (let at = plain.indexOf(needle); at >= 0; at = plain.indexOf(needle, at + needle.length)) {
    hits.push([from(at), from(at + needle.length)]);
  }
  return hits;
}

// The marks below an element are made anew.
function markHits(root) {
  for (const mark of root.querySelectorAll("mark.hit")) {
    const parent = mark.parentNode;
    mark.replaceWith(...mark.childNodes);
    parent.normalize();
  }
  if (!finder.needle) return;
  const boxes = [...root.querySelectorAll(SEARCHED)];
  for (const box of root.matches(SEARCHED) ? [root, ...boxes] : boxes) markText(box);
}

function markText(box) {
  const walker = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
  const nodes = [];
  let text = "";
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    nodes.push([node, text.length]);
    text += node.data;
  }
  const hits = hitsIn(text, finder.needle);
  for (const [node, start] of nodes) {
    const inside = hits.filter(([from, to]) => from < start + node.data.length && to > start);
    if (!inside.length) continue;
    const parts = [];
    let at = 0;
    for (const [from, to] of inside) {
      const [first, last] = [Math.max(from - start, 0), Math.min(to - start, node.data.length)];
      const mark = document.createElement("mark");
      mark.className = "hit";
      mark.textContent = node.data.slice(first, last);
      parts.push(node.data.slice(at, first), mark);
      at = last;
    }
    node.replaceWith(...[...parts, node.data.slice(at)].filter((part) => part !== ""));
  }
}

// How often the needle is in what a turn opens to.
const hitsOfTurn = (turn) =>
  turn.candidates.flatMap(textsOfCandidate).reduce((sum, text) => sum + hitsIn(text, finder.needle).length, 0);

// After a search: marks in the open conversation, and at each turn how many hits it opens to.
function showHits(article) {
  markHits(article);
  for (const button of article.querySelectorAll(".opener")) button.countHits();
}

// Opens what hides the first hit, and leads there.
function goToHit(article) {
  let mark = article.querySelector("mark.hit");
  if (!mark) {
    [...article.querySelectorAll(".opener")].find((button) => !button.querySelector(".hits").hidden)?.click();
    mark = article.querySelector(".panel mark.hit");
  }
  for (let each = mark; each && each !== article; each = each.parentElement) {
    if (each.tagName === "DETAILS" && !each.firstElementChild.contains(mark)) each.open = true;
  }
  mark?.scrollIntoView({ block: "center" });
  return Boolean(mark);
}
