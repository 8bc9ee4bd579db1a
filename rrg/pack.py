"""Records -> a data set folder: split by patient, balanced, whole or absent, manifest last."""

import enum
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rrg import collector
from rrg.balance import Balance
from rrg.codec import encode, schema_of
from rrg.columns import Columns
from rrg.errors import RrgError, UsageError
from rrg.folders import building, publish
from rrg.pack_arrays import Arrays
from rrg.pack_card import card
from rrg.pack_choice import Choice, Rules
from rrg.pack_leaks import NONE, ComparedTexts
from rrg.pack_read import Gathered
from rrg.pack_split import HASH, RULES, SPLITS, Parts, Split, merges, splits
from rrg.pack_write import Written, judged, weigh, write_splits
from rrg.provenance import sha256_file
from rrg.records import Run
from rrg.synth.blind import SOLVABLE

COMMAND = "pack"
SCHEMA = "rrg.dataset/1"


@dataclass(frozen=True)
class Options:
    """How to pack. All of it changes the result."""

    split: Parts = (80, 10, 10)
    """Parts of train, val, test."""
    split_by: str = HASH
    """``hash``, ``date``, ``site``, ``given`` or a file (`rrg.pack_split`)."""
    merge_ids: Path | None = None
    """A file whose lines name ids of one person."""
    balance: bool = True
    drop_blind: float | None = None
    """Leave out questions that are answered as well as this without the image, 0..1."""
    drop_leaks: bool = False
    """Leave out of val and test what shows an image or teaches a text that a split before has."""
    drop_copies: bool = True
    """Leave out what another sample says of the same pixels."""
    licence: str | None = None
    """For the card."""
    attribution: str | None = None
    """For the card: where the images come from, and whom to cite."""
    pixels: Literal["copy", "link"] = "copy"
    partial: bool = False
    seed: int = 0
    made_up: bool = False
    """The studies are phantoms: the card says so."""
    demonstration: bool = False
    """Models that learn from it are for demonstration, and say so with every answer; of phantoms they are anyway."""
    exclude: frozenset[str] = frozenset()
    """Patients, by pseudonym, whose studies are left out."""
    key: bytes | None = None
    """Behind the pseudonyms: original ids in files are hashed with it."""

    def results(self) -> dict[str, Any]:
        """The options for the run record: of files their content, of the key and of who is excluded nothing."""
        left_out = ("seed", "key", "merge_ids", "exclude")
        told = {name: value for name, value in asdict(self).items() if name not in left_out}
        if self.split_by not in RULES:
            told["split_by"] = _sha256(Path(self.split_by))
        if self.merge_ids is not None:
            told["merge_ids"] = _sha256(self.merge_ids)
        return told


def _sha256(path: Path) -> str:
    try:
        return f"sha256 {sha256_file(path)}"
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; expected a file{_rules(path)}") from None


def _rules(path: Path) -> str:
    return "" if path.suffix else f", or --split-by {', '.join(RULES[:-1])} or {RULES[-1]}"


class Existing(enum.Enum):
    """What to do when the data set is there already."""

    REFUSE = "refuse"
    KEEP_SAME = "keep"
    """The same content is fine (a re-run); other content is refused."""
    REPLACE = "replace"


def pack(
    inputs: tuple[Path, ...], store: Path, out: Path, run: Run, options: Options, existing: Existing = Existing.REFUSE
) -> dict[str, Any]:
    """Read the stream, write the data set folder `out`, return its manifest.

    Memory is bounded by one study and some bytes of each question. `out` appears whole, under its name, at the end.
    Raises RrgError for a truncated stream, for missing arrays, and for an `out` that must not be replaced.
    """
    there = is_there(out, existing)
    with collector.seldom(), building(out) as temporary:
        manifest = _build(temporary, inputs, store, out, run, options)
        put(temporary, out, keep=there and existing is Existing.KEEP_SAME)
    return manifest


def is_there(out: Path, existing: Existing) -> bool:
    """True for a data set that may be replaced, or compared; UsageError where something is there that must stay."""
    there = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if there and existing is Existing.REFUSE:
        raise UsageError(f"{out} is there already; choose another --out, or give --overwrite or --resume")
    if there and not _is_dataset(out):
        raise UsageError(f"{out} is not a data set of rrg, so it is not replaced; choose another --out")
    return there


def put(made: Path, out: Path, *, keep: bool) -> None:
    """Give a data set its name; with `keep` leave the one that is there, RrgError when it is another one."""
    if not keep:
        publish(made, out, synced="store")  # each array when it was copied
    elif (made / "manifest.json").read_bytes() != (out / "manifest.json").read_bytes():
        raise RrgError(f"{out} holds another data set than this input makes; give --overwrite to replace it")


def _is_dataset(folder: Path) -> bool:
    try:
        return schema_of(json.loads((folder / "manifest.json").read_bytes())) == SCHEMA
    except (OSError, ValueError):
        return False


def _build(
    folder: Path, inputs: tuple[Path, ...], store: Path, out: Path, run: Run, options: Options
) -> dict[str, Any]:
    """Three passes: read, spool and take the arrays; count the answers of what may stay; write what stays."""
    spool = folder / "spool"
    merged = {} if options.merge_ids is None else merges(options.merge_ids, options.key)
    with (
        spool.open("w+b") as file,
        Columns(folder) as columns,
        Arrays(store, folder, out, options.pixels) as taken,
    ):
        gathered = Gathered(columns, file, merged, taken, options.seed)
        gathered.read(inputs, options.exclude)
        gathered.runs.check(partial=options.partial)
        gathered.runs.runs.pop(run.id, None)  # packing a packed split again
        if not gathered.visits:  # also when a stage before died at its start: that is no data set
            raise RrgError("no slices and no samples in the input; look at the stage before")
        if merged:
            _count_merged(gathered, merged)
        gathered.blind.settle()
        split_of_patient = splits(gathered.visits, options.split_by, options.split, options.seed, options.key)
        of_study = [split_of_patient[visit.patient] for visit in gathered.visits]
        texts = gathered.texts.compared(of_study)
        balance = Balance(columns) if options.balance else None
        rules = Rules(
            options.drop_blind,
            gathered.repeated.repeated() if options.drop_copies else NONE,
            gathered.images.known_before(of_study),
            texts.known_before,
            options.drop_leaks,
            balance,
        )
        if balance is not None:
            weigh(gathered, of_study, Choice(rules), columns)
            balance.settle(gathered.numbers.asked)
        choice = Choice(rules)
        studies = judged(gathered, of_study, choice, gathered.seen)
        solvable_from = SOLVABLE if options.drop_blind is None else options.drop_blind
        written = Written(solvable_from)
        files = write_splits(folder, run, gathered, studies, choice, written)
        arrays = taken.taken()
        leaks = _leaks(gathered, of_study, texts, written)
    spool.unlink()
    told = {
        "balance": [
            {**row.stratum._asdict(), "before": row.before, "after": row.after}
            for row in (balance.rows if balance is not None else ())
        ],
        "leaks": leaks,
        "blind": gathered.blind.told(solvable_from)._asdict()
        | {"left": {split: [written.solvable[split], written.questions[split]] for split in SPLITS}},
        "arrays": arrays,
    }
    return _finish(folder, run, options, gathered, written, told, files)


def _count_merged(gathered: Gathered, merged: Mapping[str, str]) -> None:
    gathered.seen["merged.ids"] = len(gathered.merged_ids)
    gathered.seen["merged.unknown_ids"] = len(merged.keys() - gathered.merged_ids)
    gathered.seen["merged.persons"] = len({merged[each] for each in gathered.merged_ids})


def _leaks(gathered: Gathered, of_study: Sequence[Split], texts: ComparedTexts, written: Written) -> dict[str, Any]:
    """What came in that splits share; and of what was written, the samples whose image or text a split before has."""
    return {
        "patients": _shared_patients(written),
        "images": [each._asdict() for each in gathered.images.shared(of_study)],
        "texts": [each._asdict() for each in texts.same],
        "texts_alike": [each._asdict() for each in texts.alike],
        "samples": {split: written.leaked[split] for split in SPLITS},
    }


def _finish(
    folder: Path,
    run: Run,
    options: Options,
    gathered: Gathered,
    written: Written,
    told: Mapping[str, Any],
    files: Mapping[str, Mapping[str, int | str]],
) -> dict[str, Any]:
    """Write the card and, last, the manifest. `files`: what it says of the others."""
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "run": json.loads(encode(run)),
        "runs": [json.loads(line) for line in gathered.runs.opening()],
        "ends": gathered.runs.ends(),
        "partial": options.partial,
        "pixels": options.pixels,
        "label_maps": sorted(gathered.label_maps),
        "patients": {split: len(written.patients[split]) for split in SPLITS},
        "counts": {split: dict(sorted(written.counts[split].items())) for split in SPLITS},
        "strata": {
            split: {field: dict(sorted(counts.items())) for field, counts in sorted(written.strata[split].items())}
            for split in SPLITS
        },
        "funnel": dict(sorted(gathered.seen.items())),
        **told,
    }
    text = card(manifest, made_up=options.made_up, licence=options.licence, attribution=options.attribution)
    path = folder / "card.md"
    path.write_text(text, encoding="utf-8")
    manifest["files"] = {**files, path.name: {"bytes": path.stat().st_size, "sha256": sha256_file(path)}}
    content = json.dumps(manifest, sort_keys=True, ensure_ascii=False).encode()
    manifest = {"schema": SCHEMA, "id": hashlib.sha256(content).hexdigest()[:20], **manifest}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return manifest


def _shared_patients(written: Written) -> int:
    """Patients in two splits: none, whatever the rule. RrgError else: such a data set must not be."""
    everywhere = sum(len(patients) for patients in written.patients.values())
    if both := everywhere - len(set().union(*written.patients.values())):
        raise RrgError(f"{both} patients are in two splits; report this as a bug")
    return 0


def summary(manifest: Mapping[str, Any]) -> Iterator[str]:
    """What was packed, in a line, and a warning for each split that is empty though it was asked for, and for leaks."""
    counts, patients = manifest["counts"], manifest["patients"]
    said = [f"{split} {counts[split].get('sample', 0)} samples of {patients[split]} patients" for split in SPLITS]
    left_out = sum(n for name, n in manifest["funnel"].items() if name.startswith("dropped."))
    yield f"done: {', '.join(said)}; {left_out} left out; id {manifest['id']}"
    if (blind := manifest["blind"])["questions"]:
        yield (
            f"without the image {blind['solved'] / blind['questions']:.1%} of {blind['questions']} questions are "
            f"guessed right; {blind['solvable'] / blind['questions']:.1%} are solvable (score >= "
            f"{blind['threshold']:g}){', left out' if 'drop_blind' in manifest['run']['options'] else ''}"
        )
    for leak in manifest["leaks"]["images"]:
        if leak["both"]:
            yield (
                f"warning: {leak['both']} different images are in {leak['a']} and in {leak['b']}: the same pixels "
                "under two patients; name them as one person with --merge-ids, if they are"
            )
    leaked = manifest["leaks"]["samples"]
    if any(leaked.values()):
        yield (
            f"{leaked['val']} samples of val and {leaked['test']} of test show an image or teach a text that a split "
            "before has; --drop-leaks leaves them out"
        )
    if unknown := manifest["funnel"].get("merged.unknown_ids"):
        yield (
            f"{unknown} ids of --merge-ids belong to no patient here, {manifest['funnel']['merged.ids']} do; original "
            "ids need --key-file"
        )
    options = manifest["run"]["options"]
    for split, part in zip(SPLITS, options["split"], strict=True):
        if part and not patients[split] and sum(patients.values()):
            yield (
                f"no patient fell into {split}: {_why(options)}, {sum(patients.values())} are too few "
                "for its share; give more patients, other parts (--split), or another --seed"
            )


def _why(options: Mapping[str, Any]) -> str:
    rule = options.get("split_by", HASH)
    return f"patients are split by {'a hash' if rule == HASH else rule if rule in RULES else 'a file'}"
