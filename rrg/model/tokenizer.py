"""A byte-level BPE tokenizer trained on the texts of a data set."""

from collections.abc import Iterable
from typing import Any

from rrg.boxes import Dialect
from rrg.prompt import BEGIN, CHAT_TEMPLATE, CONTROL, END, IMAGE, PAD, ROLES, UNKNOWN


def train_tokenizer(texts: Iterable[str], dialect: Dialect, size: int) -> Any:
    """A tokenizer of at most `size` entries plus the dialect's box tokens. Any text survives it unchanged.

    Control tokens come first (ids 0, 1, ...), then bytes and merges, then box tokens. Box tokens are not special:
    llama.cpp would drop them from answers. Equals llama.cpp's ``gpt2`` model with the ``gpt-2`` pre-tokenizer.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=list(CONTROL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.add_tokens([AddedToken(token, special=False, normalized=False) for token in dialect.tokens])
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bpe,
        bos_token=BEGIN,
        eos_token=END,
        unk_token=UNKNOWN,
        pad_token=PAD,
        additional_special_tokens=[IMAGE, *ROLES.values()],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def token_id(tokenizer: Any, token: str) -> int:
    """The id of one token."""
    return int(tokenizer.convert_tokens_to_ids(token))


def encode_chat(tokenizer: Any, text: str, media: str, image_tokens: int) -> list[int]:
    """Token ids of chat text without the begin token; each `media` marker becomes `image_tokens` image tokens."""
    image = token_id(tokenizer, IMAGE)
    ids: list[int] = []
    for number, part in enumerate(text.split(media)):
        ids += [image] * image_tokens if number else []
        ids += tokenizer.backend_tokenizer.encode(part, add_special_tokens=False).ids if part else []
    return ids
