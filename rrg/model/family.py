"""A model folder of any family: loaded, fed with chats, asked. Data never forms a token of the family."""

import importlib
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rrg.boxes import Dialect
from rrg.errors import RecordError, RrgError, UsageError
from rrg.model.families import FAMILIES, OWN_TOWER, Family
from rrg.model.settings import Generated, Pictures, Settings
from rrg.prompt import END, MEDIA, ROLES, Piece

IGNORED = -100
_ROLE = re.compile("|".join(re.escape(token) for token in ROLES.values()))


class Turn(NamedTuple):
    """One turn of a chat, pictures as markers."""

    role: str
    text: str
    loss: bool


class Loaded(NamedTuple):
    """A model and what reads for it."""

    name: str
    family: Family
    model: Any
    processor: Any
    side: int
    dialect: Dialect

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self.processor.tokenizer


def check_folder(folder: Path) -> str:
    """``model_type`` of a model folder. UsageError for a folder that is none, would run its own code, or is pickled."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(f"--model {folder}: no readable config.json inside; give a folder of weights") from None
    if "auto_map" in config or any(folder.glob("*.py")):
        raise UsageError(f"--model {folder}: it brings code of its own (trust_remote_code), which is never run")
    if not any(folder.glob("*.safetensors")):
        raise UsageError(f"--model {folder}: no *.safetensors inside; other weights are not loaded, convert them first")
    kind = str(config.get("model_type"))
    know_tower(config)
    if kind not in FAMILIES:
        raise UsageError(f"--model {folder}: model_type {kind}; expected one of {', '.join(FAMILIES)}")
    return kind


def know_tower(config: Mapping[str, Any]) -> None:
    """Make the tower of a config.json known to transformers where it is one of ours."""
    if str(dict(config.get("vision_config") or {}).get("model_type")) == OWN_TOWER:
        importlib.import_module("rrg.model.timm_tower")


def model_config(folder: Path) -> Any:
    """transformers' configuration of a model folder."""
    from transformers import AutoConfig

    know_tower(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_family(folder: Path, dialect: Dialect | None = None, dtype: torch.dtype = torch.float32) -> Loaded:
    """Model, processor and box tokens of a local folder. `dialect`: how boxes are written; default: the family's own.

    Tokens that the vocabulary lacks are added with embeddings at the mean of the others.
    """
    import transformers

    auto: Any = transformers
    name = check_folder(folder)
    family = FAMILIES[name]
    given: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        processor = auto.AutoProcessor.from_pretrained(folder, **given)
        model = auto.AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype, use_safetensors=True, **given)
    except (OSError, ValueError, ImportError) as error:
        raise UsageError(f"--model {folder}: {str(error).splitlines()[0]}") from None
    side = family.side(processor.image_processor)
    dialect = dialect or family.dialect(side)
    add_tokens(model, processor.tokenizer, dialect)
    return Loaded(name, family, model, processor, side, dialect)


def add_tokens(model: Any, tokenizer: Any, dialect: Dialect) -> None:
    """Give the vocabulary the box tokens that it lacks, and the model rows for them."""
    from tokenizers import AddedToken

    known = tokenizer.get_vocab()
    missing = [token for token in dialect.tokens if token not in known]
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in missing])
    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=True)


def turns_of(pieces: Sequence[Piece]) -> list[Turn]:
    """Chat text of `rrg.prompt` as turns. Exact: data text can not form a role token."""
    turns: list[Turn] = []
    for piece in pieces:
        at = 0
        for match in [*_ROLE.finditer(piece.text), None]:
            text = piece.text[at : match.start() if match else None]
            if text and turns:
                last = turns[-1]
                turns[-1] = last._replace(text=last.text + text, loss=last.loss or piece.loss)
            if match:
                role = next(role for role, token in ROLES.items() if token == match.group())
                turns.append(Turn(role, "", False))
                at = match.end()
    return [turn._replace(text=turn.text.removesuffix(END)) for turn in turns]


def guarded(text: str, loaded: Loaded) -> str:
    """Put a blank into everything in `text` that is a control token of the family. Box tokens stay."""
    own = set(loaded.dialect.tokens)
    control = [str(each) for each in loaded.tokenizer.added_tokens_decoder.values() if each.special]
    for token in sorted(set(control) - own, key=len, reverse=True):
        text = text.replace(token, token[0] + " " + token[1:])
    return text


def chat_pieces(turns: Sequence[Turn], loaded: Loaded) -> tuple[list[Piece], str]:
    """(the chat in the family's form with one image token of its own per picture, the text that opens an answer)."""
    image = _image_token(loaded)
    if loaded.family.prefix:
        return _prefix_pieces(turns, loaded, image)
    messages = [{"role": turn.role, "content": _content(turn, loaded)} for turn in turns]
    pieces: list[Piece] = []
    told = ""
    for number, turn in enumerate(turns):
        if turn.role != "assistant" or not turn.text:
            continue
        opened = _templated(loaded, messages[:number], True)
        closed = _templated(loaded, messages[: number + 1], False)
        if not opened.startswith(told) or not closed.startswith(opened):
            raise RrgError("the chat template changes earlier turns; the loss on answers can not be placed", "E_MODEL")
        answer = closed[len(opened) :]
        end = str(loaded.tokenizer.eos_token)
        body = answer.rstrip()
        if not any(body.endswith(token) for token in _control(loaded)):
            body = body + end
        pieces += [Piece(opened[len(told) :], False), Piece(body, turn.loss)]
        rest = answer[len(answer.rstrip()) :]
        if rest:
            pieces.append(Piece(rest, False))
        told = closed
    asked = [message for message, turn in zip(messages, turns, strict=True) if turn.text or turn.role != "assistant"]
    return pieces, "" if turns[-1].text and turns[-1].role == "assistant" else _templated(loaded, asked, True)[
        len(told) :
    ]


def _control(loaded: Loaded) -> list[str]:
    return [str(each) for each in loaded.tokenizer.added_tokens_decoder.values() if each.special]


def _prefix_pieces(turns: Sequence[Turn], loaded: Loaded, image: str) -> tuple[list[Piece], str]:
    """Earlier turns and the question are the prefix, the last answer is learnt."""
    answered = bool(turns[-1].role == "assistant" and turns[-1].text)
    before = turns[:-1] if turns[-1].role == "assistant" else turns
    text = "\n".join(guarded(turn.text, loaded).replace(MEDIA, "") for turn in before)
    prompt = image * sum(turn.text.count(MEDIA) for turn in before) + text
    if not answered:
        return [], prompt
    end = str(loaded.tokenizer.eos_token)
    return [Piece(prompt, False), Piece(guarded(turns[-1].text, loaded) + end, turns[-1].loss)], ""


def _content(turn: Turn, loaded: Loaded) -> list[dict[str, str]]:
    parts: list[dict[str, str]] = []
    for number, text in enumerate(turn.text.split(MEDIA)):
        parts += [{"type": "image"}] if number else []
        parts += [{"type": "text", "text": guarded(text, loaded)}] if text else []
    return parts


def _templated(loaded: Loaded, messages: Sequence[Mapping[str, Any]], opening: bool) -> str:
    try:
        return str(loaded.processor.apply_chat_template(list(messages), add_generation_prompt=opening, tokenize=False))
    except ValueError:
        raise RrgError(
            "the model folder has no chat template; give one with it (chat_template.jinja)", "E_MODEL"
        ) from None


def _image_token(loaded: Loaded) -> str:
    return str(getattr(loaded.processor, "image_token", None) or loaded.tokenizer.image_token)


class Encoded(NamedTuple):
    """One chat as the model reads it."""

    inputs: dict[str, Tensor]
    """Of the processor, and `labels` (1, length): `IGNORED` where nothing is learnt."""
    pictures: int

    @property
    def length(self) -> int:
        """Tokens."""
        return int(self.inputs["input_ids"].shape[1])


def encode(loaded: Loaded, pieces: Sequence[Piece], pictures: Pictures) -> Encoded:
    """Pieces of `chat_pieces` and their pictures as tensors. RecordError when a family takes one picture only."""
    from PIL import Image

    if len(pictures) > 1 and not loaded.family.several_images:
        raise RecordError(
            "E_MODEL",
            f"{loaded.family.title} reads one picture at a time, here are {len(pictures)}; take another family",
        )
    for picture in pictures:
        if picture.shape != (loaded.side, loaded.side, 3) or picture.dtype != np.uint8:
            raise RecordError("E_MODEL", f"picture is {picture.dtype} {picture.shape}; expected side {loaded.side}")
    token = _image_token(loaded)
    left = [Image.fromarray(picture) for picture in pictures]
    parts: list[dict[str, Tensor]] = []
    for number, piece in enumerate(pieces):
        count = piece.text.count(token)
        shown, left = left[:count], left[count:]
        begin = str(loaded.tokenizer.bos_token or "")
        text = piece.text
        special = number == 0 and not loaded.family.prefix and not (begin and text.startswith(begin))
        if shown:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # transformers' own: PaliGemma's processor and numpy 2
                made = loaded.processor(text=text, images=shown, return_tensors="pt", add_special_tokens=special)
        else:
            text = f"{begin}{text}\n" if loaded.family.prefix and number == 0 else text  # as its processor does
            made = loaded.tokenizer(text, return_tensors="pt", add_special_tokens=special)
        part = {name: value for name, value in made.items() if isinstance(value, Tensor) and name != "labels"}
        ids = part["input_ids"] = part["input_ids"].long()
        part["attention_mask"] = torch.ones_like(ids)
        part["labels"] = ids.clone() if piece.loss else torch.full_like(ids, IGNORED)
        if loaded.family.prefix:
            part["token_type_ids"] = torch.full_like(ids, min(number, 1))
        parts.append(part)
    if left:
        raise RecordError("E_MODEL", f"{len(left)} pictures have no place in the prompt")
    joined = joined_parts(parts)
    if not loaded.family.prefix and "token_type_ids" in joined and loaded.name != "gemma3":
        del joined["token_type_ids"]
    return Encoded(joined, len(pictures))


def joined_parts(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Parts of one chat in a row: what has a place per token is joined along tokens, the rest along pictures."""
    names = {name for part in parts for name in part}
    joined: dict[str, Tensor] = {}
    for name in sorted(names):
        per_token = all(name not in part or part[name].shape == part["input_ids"].shape for part in parts)
        if per_token:
            values = [part.get(name, torch.zeros_like(part["input_ids"])) for part in parts]
            joined[name] = torch.cat(values, 1)
        else:
            values = [part[name] for part in parts if name in part]
            several = values[0].ndim == 5 or name == "pixel_attention_mask"  # (1, pictures, ...)
            joined[name] = torch.cat(values, 1 if several else 0)
    return joined


def collate(batch: Sequence[Encoded], pad: int) -> dict[str, Tensor]:
    """Chats with the same number of pictures as one batch, padded on the right."""
    longest = max(each.length for each in batch)
    fill = {"input_ids": pad, "labels": IGNORED, "token_type_ids": 0}
    out: dict[str, Tensor] = {}
    for name, first in batch[0].inputs.items():
        values = [each.inputs[name] for each in batch]
        if first.shape == batch[0].inputs["input_ids"].shape and first.ndim == 2:
            values = [
                torch.nn.functional.pad(value, (0, longest - value.shape[1]), value=fill.get(name, 0))
                for value in values
            ]
        out[name] = torch.cat(values)
    return out


def answer_loss(model: Any, batch: Mapping[str, Tensor]) -> Tensor:
    """Mean loss of the learnt tokens of all chats together."""
    losses, learnt = _token_losses(model, batch)
    return losses.sum() / learnt.sum()


def mean_losses(model: Any, batch: Mapping[str, Tensor]) -> Tensor:
    """(chats,) mean loss of the learnt tokens of each chat: what a chat costs, whoever stands beside it."""
    losses, learnt = _token_losses(model, batch)
    return losses.sum(1) / learnt.sum(1)


def _token_losses(model: Any, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """(chats, places) losses, 0 where a chat does not learn, and where it does.

    Logits are made at the places where any chat of the batch learns, no others.
    """
    labels = batch["labels"][:, 1:]
    places = (labels != IGNORED).any(0).nonzero()[:, 0]
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    logits = model(**inputs, use_cache=False, logits_to_keep=places).logits
    wanted = labels[:, places]
    losses = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return losses.view_as(wanted), wanted != IGNORED


class FamilyModel:
    """Back end for run folders of families; see `rrg.model.settings.Model`."""

    backend = "torch"

    def __init__(self, folder: Path, settings: Settings, hash_: str) -> None:
        self.settings, self.hash = settings, hash_
        self.loaded = load_family(folder, settings.dialect)
        self.loaded.model.eval()

    def answer(self, pictures: Pictures, prompt: str, max_new_tokens: int = 256) -> Generated:
        """Greedy answer."""
        return written(self.loaded, self.settings.context, pictures, prompt, max_new_tokens)

    def close(self) -> None:
        """Nothing to do."""


def written(loaded: Loaded, context: int, pictures: Pictures, prompt: str, max_new_tokens: int = 256) -> Generated:
    """Greedy answer of a loaded model to a prompt of `rrg.prompt`."""
    pieces, opening = chat_pieces(turns_of([Piece(prompt, False)]), loaded)
    asked = [*(piece._replace(loss=False) for piece in pieces), Piece(opening, False)]
    if loaded.family.prefix:
        asked = asked[-1:]
    encoded = encode(loaded, _merged(asked), pictures)
    if encoded.length >= context:
        raise RecordError("E_TOKENS", f"prompt has {encoded.length} tokens, the model reads {context}")
    device = next(loaded.model.parameters()).device
    inputs = {name: value.to(device) for name, value in encoded.inputs.items() if name != "labels"}
    stop = stop_tokens(loaded)
    room = min(max_new_tokens, context - encoded.length)
    with torch.inference_mode():
        made = loaded.model.generate(
            **inputs, max_new_tokens=room, do_sample=False, num_beams=1, eos_token_id=sorted(stop)
        )
    tokens = made[0, encoded.length :].tolist()
    end = next((place for place, token in enumerate(tokens) if token in stop), None)
    return Generated(str(loaded.tokenizer.decode(tokens[:end])), end is None)


def _merged(pieces: Sequence[Piece]) -> list[Piece]:
    return [Piece("".join(piece.text for piece in pieces), False)]


def stop_tokens(loaded: Loaded) -> set[int]:
    """Tokens that end an answer: the tokenizer's, those of the generation settings, what the template ends with."""
    named = loaded.model.generation_config.eos_token_id
    stop = {loaded.tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])}
    pieces, _ = chat_pieces([Turn("user", "a", False), Turn("assistant", "b", True)], loaded)
    answer = next(piece.text for piece in pieces if piece.loss)
    stop.add(loaded.tokenizer.encode(answer, add_special_tokens=False)[-1])
    return {int(each) for each in stop if each is not None}
