"""How many final answers `accuracy` decides without a judge, and whether it decides them rightly.

    python benchmarks/accuracy.py [--answers FILE.tsv] [--json out.json]

`accuracy_answers.tsv` holds a reference and an answer a line, as JSON strings, with a kind and what is true: the answer
is `right`, it is `wrong`, or the two alone do not tell (`open`: "2 million" to a reference of 2 is right where millions
were asked for). Right and wrong ones may be left to the judge, which costs a call; open ones must be. A decision that
is not what the line says is `decided wrongly`. Needs the extra `evaluate`; takes some twenty seconds.
"""

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path

from table import finish, judged

from collab_sdk.metrics.accuracy import compare

ANSWERS = Path(__file__).with_name("accuracy_answers.tsv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=Path, default=ANSWERS)
    parser.add_argument("--json", dest="path")
    options = parser.parse_args()
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    wrongly = []
    for line in options.answers.read_text(encoding="utf-8").splitlines()[1:]:
        kind, truth, *texts = line.split("\t")
        reference, answer = map(json.loads, texts)
        verdict = compare(reference, answer)
        said = None if verdict is None else "right" if verdict.value else "wrong"
        outcome = f"left, {truth}" if said is None else "decided rightly" if said == truth else "decided wrongly"
        if said not in (None, truth):
            wrongly.append({"kind": kind, "truth": truth, "reference": reference, "answer": answer, "said": said})
        for name in (kind, "all"):
            counted[name][outcome] += 1
    columns = ("decided rightly", "decided wrongly", "left, right", "left, wrong", "left, open")
    rows = [
        {"answers": name, "n": sum(counts.values()), **{column: counts[column] for column in columns}}
        for name, counts in sorted(counted.items(), key=lambda item: item[0] == "all")
    ]
    for each in wrongly:
        print(each)
    finish(rows, [judged("decided wrongly", len(wrongly), at_most=0)], options.path, wrongly=wrongly)


if __name__ == "__main__":
    main()
