"""rrg pack: samples to a data set folder, split by patient."""

import enum
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from . import _options as opt


class Pixels(enum.StrEnum):
    """How the arrays get into the data set."""

    COPY = "copy"
    LINK = "link"


class Foreign(enum.StrEnum):
    """Formats of other programs that a data set may come in (`rrg.datasets_kinds.KINDS`)."""

    SLAKE = "slake"
    VQA_RAD = "vqa-rad"
    RADGROUNDER = "radgrounder"
    LLAVA = "llava"
    MS_SWIFT = "ms-swift"
    COCO = "coco"


def command(
    inputs: opt.Inputs = None,
    store: opt.Store = Path("store"),
    out: Annotated[Path, typer.Option(metavar="DATASET", help="Folder to make, whole or absent.")] = Path("dataset"),
    split: Annotated[str, typer.Option(metavar="A,B,C", help="Parts of patients in train, val, test.")] = "80,10,10",
    split_by: Annotated[
        str,
        typer.Option(
            metavar="hash|date|site|given|FILE",
            help="date: the latest are the test; site: whole institutions; given: as samples say; FILE: who is where.",
        ),
    ] = "hash",
    merge_ids: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV or JSON lines: ids of one person in each line.")
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(help="Secret behind the pseudonyms, for original ids in the files of --split-by, --merge-ids."),
    ] = None,
    balance: Annotated[
        bool, typer.Option(help="As many yes as no per structure, and the right choice at every place alike.")
    ] = True,
    drop_blind: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Leave out questions that are answered as well as this without the image (their score)."
        ),
    ] = None,
    drop_leaks: Annotated[
        bool,
        typer.Option(
            "--drop-leaks", help="Leave out of val and test what shows an image or teaches a text of a split before."
        ),
    ] = False,
    drop_copies: Annotated[
        bool, typer.Option("--drop-copies/--keep-copies", help="Leave out what another sample says of the same pixels.")
    ] = True,
    licence: Annotated[str | None, typer.Option(metavar="TEXT", help="For the card.")] = None,
    attribution: Annotated[
        str | None, typer.Option(metavar="TEXT", help="For the card: where the images come from, whom to cite.")
    ] = None,
    pixels: Annotated[
        Pixels, typer.Option(help="Copy the arrays into the data set, or link to the store.")
    ] = Pixels.COPY,
    partial: Annotated[bool, typer.Option("--partial", help="Take a stream that was cut short.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a data set of this name.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="A data set of this name with the same content is fine.")
    ] = False,
    made_up: Annotated[bool, typer.Option("--phantom", help="The studies are made up: say so in the card.")] = False,
    demonstration: Annotated[
        bool, typer.Option("--demonstration", help="Models that learn from it say with each answer what they are.")
    ] = False,
    foreign: Annotated[
        Foreign | None,
        typer.Option("--from", help="The one input is a data set of this format (folder or file), not a stream."),
    ] = None,
    split_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --from: image (or patient, or id) and its split.")
    ] = None,
    strict_counts: Annotated[
        bool, typer.Option("--strict-counts", help="With --from: other numbers than the published ones are an error.")
    ] = False,
    text_only: Annotated[
        bool, typer.Option("--text-only", help="With --from: questions and answers without their pictures.")
    ] = False,
    exclude: opt.Exclude = None,
    seed: opt.Seed = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what went wrong.")] = False,
) -> None:
    """Pack samples, slices, masks and their arrays into a data set folder, split by patient.

    Left out and counted: doubles, surplus answers (balance), guessable questions (--drop-blind), and in val and test
    what was paired with a slice that its sentence does not cite.

    The folder holds train.jsonl, val.jsonl, test.jsonl, store/, card.md and, written last, manifest.json.

    Example:  rrg pack samples.jsonl --store store --out dataset
    """
    from rrg.keys import load_key
    from rrg.pack import COMMAND, Existing, Options, pack, summary
    from rrg.pack_split import parse_parts
    from rrg.pipe import talk
    from rrg.provenance import make_run

    if quiet:
        os.environ["RRG_QUIET"] = "1"
    options = Options(
        split=parse_parts(split),
        split_by=split_by,
        merge_ids=merge_ids,
        balance=balance,
        drop_blind=drop_blind,
        drop_leaks=drop_leaks,
        drop_copies=drop_copies,
        licence=licence,
        attribution=attribution,
        pixels=pixels.value,
        partial=partial,
        seed=seed,
        made_up=made_up,
        demonstration=demonstration,
        exclude=opt.excluded(exclude, key_file),
        key=None if key_file is None else load_key(key_file, create=False),
    )
    existing = Existing.REPLACE if overwrite else Existing.KEEP_SAME if resume else Existing.REFUSE
    if foreign is not None:
        from rrg.pack_from import Choices, import_foreign

        choices = Choices(split_file, strict_counts=strict_counts, text_only=text_only)
        raise typer.Exit(import_foreign(foreign.value, inputs or [], out, options, choices, existing))
    run = make_run(COMMAND, options.results(), seed=seed)
    manifest = pack(tuple(inputs or ()), store, out, run, options, existing)
    for line in summary(manifest):
        talk(COMMAND, line)
    sys.stderr.flush()
