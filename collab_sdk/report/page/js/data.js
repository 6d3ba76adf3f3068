// What the page holds: facts as JSON, and compressed blocks of conversations that are opened when they are needed.

const facts = JSON.parse(byId("facts").textContent);
const KEPT_BLOCKS = 4;
const opened = new Map();
let index = null;

async function unpacked(id) {
  const packed = atob(byId(id).textContent);
  const bytes = Uint8Array.from(packed, (char) => char.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

async function openIndex() {
  if (typeof DecompressionStream === "undefined") {
    throw new Error("This browser is too old to open the conversations: any from 2024 on can.");
  }
  index = await unpacked("index");
  index.byKey = new Map(index.lines.map((line, place) => [line.key, place]));
  index.byPair = new Map(index.pairs.map((pair, place) => [pair[0], place]));
  const known = index.lines.flatMap((line) => line.curve).filter((mr) => mr !== null);
  index.low = known.reduce((a, b) => Math.min(a, b), Infinity);
  index.high = known.reduce((a, b) => Math.max(a, b), -Infinity);
  index.firstOf = new Map();
  index.lines.forEach((line, place) => {
    if (!index.firstOf.has(line.block)) index.firstOf.set(line.block, place);
  });
}

// The conversations of a block; the last few blocks are kept open.
function block(number) {
  if (!opened.has(number)) opened.set(number, unpacked(`block-${number}`));
  const found = opened.get(number);
  opened.delete(number);
  opened.set(number, found);
  if (opened.size > KEPT_BLOCKS) opened.delete(opened.keys().next().value);
  return found;
}

async function chatAt(place) {
  const number = index.lines[place].block;
  return (await block(number))[place - index.firstOf.get(number)];
}

// Text to search in, of every conversation, gathered block by block the first time that somebody searches.
const haystacks = [];

async function* searched(needle) {
  for (let place = 0; place < index.lines.length; place++) {
    if (haystacks[place] === undefined) {
      const first = index.firstOf.get(index.lines[place].block);
      (await block(index.lines[place].block)).forEach((chat, offset) => {
        haystacks[first + offset] = haystackOf(chat);
      });
    }
    yield [place, haystacks[place].includes(needle)];
  }
}

function textsOfCandidate(candidate) {
  const futures = [...candidate.futures, ...(candidate.observed ? [candidate.observed] : [])];
  return [candidate, ...futures].flatMap((one) => one.messages.map(wordsOfMessage));
}

function haystackOf(chat) {
  const texts = [chat.id, chat.goal || "", ...(chat.messages || []).map(wordsOfMessage)];
  texts.push(...(chat.turns || []).flatMap((turn) => turn.candidates).flatMap(textsOfCandidate));
  for (const play of chat.plays || []) texts.push(...play.messages.map(wordsOfMessage));
  for (const user of chat.users || []) texts.push(user.real.message, user.simulated ? user.simulated.message : "");
  return texts.join("\n").toLowerCase();
}
