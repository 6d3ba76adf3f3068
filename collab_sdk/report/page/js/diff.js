// Which words of two texts are in both, in the same order: the longest common subsequence (Wagner and Fischer 1974).

const WORD = /\s+|[\p{L}\p{N}\p{M}_'’]+|[^\s]/gu;
const MOST_CELLS = 4_000_000;

const wordsOf = (text) => text.match(WORD) || [];

// For each word of `a`, whether `b` has it too; null where the texts are too long to compare.
function shared(a, b) {
  const width = b.length + 1;
  if ((a.length + 1) * width > MOST_CELLS) return null;
  const lengths = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const at = i * width + j;
      lengths[at] = a[i] === b[j] ? lengths[at + width + 1] + 1 : Math.max(lengths[at + width], lengths[at + 1]);
    }
  }
  const flags = new Array(a.length).fill(false);
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const at = i * width + j;
    if (a[i] === b[j]) {
      flags[i] = true;
      i++;
      j++;
    } else if (lengths[at + width] >= lengths[at + 1]) i++;
    else j++;
  }
  return flags;
}

// The parts of `text`, with a mark around each run of words that `other` does not have. Texts that hardly share a word are
// left as they are: marks all over would mark nothing.
const LEAST_SHARED = 0.2;

function differing(text, other) {
  const words = wordsOf(text);
  const flags = shared(words, wordsOf(other));
  const spoken = words.filter((word) => word.trim());
  if (flags === null || words.filter((word, place) => flags[place] && word.trim()).length < LEAST_SHARED * spoken.length) {
    return [text];
  }
  const parts = [];
  let run = [];
  const close = () => {
    if (run.length) parts.push(h("mark", {}, run.join("")));
    run = [];
  };
  words.forEach((word, place) => {
    const isSpace = !word.trim();
    if (!flags[place] && !isSpace) run.push(word);
    else if (isSpace && run.length && place + 1 < words.length && !flags[place + 1]) run.push(word);
    else {
      close();
      parts.push(word);
    }
  });
  close();
  return parts;
}
