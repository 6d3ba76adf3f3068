"""What comes of training rows under the chat templates that TRL packages, as the Markdown table in docs/finetune.md.

    python benchmarks/templates.py

Each template lays out the same rows: a system message, a developer message, a call of a tool as the reply, alone and
beside text, the result of one, a whole turn of both, the tools themselves, and a plain reply, which a model that thinks
would begin with a thought.
`right`: every word is in the prompt or is learnt, each where it belongs, and a token that ends the reply is learnt. The
name of a layout: refused without it, and right with it. Nothing is downloaded; the tokenizer is made on the spot.
"""

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from support.chat_templates import as_markdown


def main() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    print(as_markdown(), end="")


if __name__ == "__main__":
    main()
