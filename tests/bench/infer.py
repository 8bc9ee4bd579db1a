"""`make bench-infer`: tokens per second of answers beside llama-cpp-python called directly, pictures encoded per slice.

The same GGUF files, length of prompt and one thread. Processor time, so that neighbours do not count. Random weights of
the size of the demonstration model, or ``--model``: speed does not depend on what is written. Rounds alternate, and
medians are compared.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from rrg.model.gguf import GgufModel
from rrg.model.settings import write_settings
from rrg.prompt import free_prompt

TOKENS = 200
LEAST, LEAST_GRAMMAR = 0.9, 0.8
"""Shares of the direct speed that must be reached."""


def made_up(folder: Path, size: str) -> Path:
    """A GGUF folder of a size of `rrg.model.tiny`, with random weights."""
    import torch

    from rrg.export import to_gguf
    from rrg.model import tiny
    from rrg.model.tokenizer import train_tokenizer
    from tests.test_model import SETTINGS, TEXTS, random_weights

    tokenizer = train_tokenizer(TEXTS, SETTINGS.dialect, tiny.SIZES[size].vocabulary)
    model = tiny.build(tiny.SIZES[size], tokenizer)
    random_weights(model)
    torch.set_num_threads(1)
    run, out = folder / "run", folder / "gguf"
    model.save_pretrained(run / "model")
    tokenizer.save_pretrained(run / "model")
    shape = tiny.SIZES[size]
    settings = SETTINGS.__class__(**{
        **{name: getattr(SETTINGS, name) for name in SETTINGS.__dataclass_fields__},
        "side": shape.side, "image_tokens": shape.image_tokens, "context": shape.context,
    })  # fmt: skip
    write_settings(run, settings)
    out.mkdir()
    to_gguf(run, out, settings, "f16")
    write_settings(out, settings)
    return out


def through_rrg(model: GgufModel, pictures: list[Any], prompt: str) -> float:
    """Seconds of processor time per token of an answer, the reading of the prompt taken off; nan for a short answer."""
    spent = []
    for most in (1, 1, TOKENS):
        start = time.process_time()
        told = model.answer(pictures, prompt, most)
        spent.append(time.process_time() - start)
    return (spent[2] - spent[1]) / (len(told.tokens) - 1) if len(told.tokens) > TOKENS // 4 else float("nan")


def directly(model: GgufModel, prompt: str) -> float:
    """The same of `Llama.generate`, greedy, on the same loaded file."""
    llm = model._text
    tokens = llm.tokenize(prompt.encode(), add_bos=True, special=True)
    llm.reset()
    start = 0.0
    for count, _ in enumerate(llm.generate(tokens, top_k=1, temp=0.0, repeat_penalty=1.0)):
        if count == 0:
            start = time.process_time()
        if count == TOKENS:
            break
    return (time.process_time() - start) / TOKENS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, help="GGUF folder")
    parser.add_argument("--size", default="s")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        where = given.model or made_up(Path(folder), given.size)
        plain, direct, narrow = (GgufModel(where) for _ in range(3))
        narrow.constrain()
        side = plain.settings.side
        rng = np.random.default_rng(0)
        pictures = [rng.integers(0, 256, (side, side, 3)).astype(np.uint8) for _ in range(8)]
        question = free_prompt("Wo ist die Leber?")
        text = free_prompt("Wo ist die Leber? " * (plain.settings.image_tokens // 6), 0)
        times: dict[str, list[float]] = {"rrg": [], "grammar": [], "direct": []}
        for number in range(given.rounds):
            picture = [pictures[number % len(pictures)]]
            times["rrg"].append(through_rrg(plain, picture, question))
            times["direct"].append(directly(direct, text))
            times["grammar"].append(through_rrg(narrow, picture, question))
        for model in (plain, narrow):
            for asked in ("A?", "B?", "C?"):
                for picture in pictures:
                    model.answer([picture], free_prompt(asked), 4)
        encoded = plain.encoded
        for model in (plain, direct, narrow):
            model.close()
    speed = {
        name: 1 / statistics.median(value for value in values if value == value) if any(v == v for v in values) else 0.0
        for name, values in times.items()
    }
    result = {
        "tokens_per_s": {name: round(value, 1) for name, value in speed.items()},
        "rrg_of_direct": round(speed["rrg"] / speed["direct"], 3),
        "grammar_of_direct": round(speed["grammar"] / speed["direct"], 3),
        "pictures": len(pictures),
        "encoded": encoded,
    }
    print(json.dumps(result, indent=1))
    good = (
        result["rrg_of_direct"] >= LEAST and result["grammar_of_direct"] >= LEAST_GRAMMAR and encoded == len(pictures)
    )
    sys.exit(0 if good else "below what is asked for")


if __name__ == "__main__":
    main()
