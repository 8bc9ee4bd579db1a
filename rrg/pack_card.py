"""The data card of a packed data set: what is in it, how it was made, what it may not be used for."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rrg.balance import YES_NO
from rrg.pack_split import SPLITS
from rrg.states import section

FEW = 20
"""The share of yes is told of structures with so many questions."""


def card(manifest: Mapping[str, Any], *, made_up: bool, licence: str | None, attribution: str | None) -> str:
    """The card as Markdown, from the manifest. No ids of persons, no text of reports."""
    parts = [
        "# Data card",
        _privacy(manifest["runs"], made_up=made_up),
        f"Licence: {licence or 'none was stated'}. Source, and whom to cite: {attribution or 'not stated'}.",
        "Made to train and score models that describe CT and MR images and show where. Research use only; not a "
        "medical device.",
        "## Files",
        _FILES,
        "## Contents",
        _contents(manifest),
        _rule(manifest["run"]["options"].get("split_by", "hash"), manifest["funnel"]),
        *(_strata(manifest["strata"], field, title) for field, title in _FIELDS),
        "## Shared between splits",
        _leaks(manifest["leaks"]),
        "## Balance",
        _balance(manifest["balance"]),
        "## Without the image",
        _blind(manifest["blind"]),
        "## What came in, and what was left out",
        _table(("", "number", "why"), [(name, n, _why(name)) for name, n in sorted(manifest["funnel"].items())]),
        "## How it was made",
        _stages([*manifest["runs"], manifest["run"]]),
        _arrays(manifest),
        _quality(manifest["ends"]),
        "## Limits",
        "Labels and boxes come from an automatic segmentation and from rules on report texts; nobody checked them one "
        "by one. A structure that a sentence names and a mask shows is grounded, not the finding in it. What a report "
        "does not mention is not therefore absent. Scores hold for the scanners, habits and patients behind these "
        "studies.",
        section(),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


_FILES = """`train.jsonl`, `val.jsonl`, `test.jsonl`: a record a line, in UTF-8; the field `schema` names its kind, and
`rrg schema` prints what each field means. Samples (`rrg.sample/1`) hold images, turns, boxes in pixels of the slice,
and the ids of what they were made from; slices, masks and runs stand beside them. `store/`: pixels (HU or stored
values) and masks as Zarr arrays, under the names that the records give. `manifest.json`: the id of the data set, these
counts, and SHA-256 of every file and array. `rrg view` shows samples, `rrg train` learns from them, `rrg export` writes
other formats."""
_FIELDS = (
    ("task_lang", "task and language"),
    ("task", "task"),
    ("lang", "language"),
    ("modality", "modality"),
    ("question_type", "type of question"),
    ("source", "source"),
    ("pairing", "pairing with a slice"),
    ("label", "structure shown"),
)


def _privacy(runs: Sequence[Mapping[str, Any]], *, made_up: bool) -> str:
    if made_up:
        return "All studies and reports are made up by `rrg phantom`; no person is behind them."
    masked = {run["options"].get("phi") for run in runs if run["command"] == "parse-reports"}
    told = (
        "names, dates and places in report texts were masked by rules, which miss some"
        if masked == {"mask"}
        else "names and dates in report texts are NOT masked"
        if masked
        else "whether names and dates in texts were masked is not known"
    )
    return (
        f"Pseudonymised, still personal data: identifiers are keyed hashes; {told}; and images and reports of real "
        "patients can lead back to them. Keep it where the originals may be kept; do not pass it on without a legal "
        "ground."
    )


def _contents(manifest: Mapping[str, Any]) -> str:
    words = (("studies", "study"), ("slices", "slice"), ("masks", "mask"), ("samples", "sample"))
    counts = [(word, *(manifest["counts"][split].get(key, 0) for split in SPLITS)) for word, key in words]
    return _table(("", *SPLITS), [("patients", *(manifest["patients"][split] for split in SPLITS)), *counts])


def _rule(rule: str, funnel: Mapping[str, int]) -> str:
    told = {
        "hash": "a hash of the patient's pseudonym: new patients move nobody",
        "date": "the date of the patient's last study: the latest are the test",
        "given": "what the samples said that came in",
        "site": "a hash of the institution: whole institutions, and those that share a patient stay together",
    }
    merged = (
        f" {funnel['merged.ids']} ids were merged into {funnel['merged.persons']} persons before."
        if "merged.ids" in funnel
        else ""
    )
    return f"Split by {told.get(rule, 'a file that was given')}. No patient is in two splits.{merged}"


def _leaks(leaks: Mapping[str, Any]) -> str:
    rows = [
        (title, f"{row['a']} and {row['b']}", row["both"], f"{row['part']} of {row['of']}{_share(row)} in {row['b']}")
        for key, title in (
            ("images", "images with the same pixels"),
            ("texts", "texts of reports, word for word"),
            ("texts_alike", "those, and near-duplicates"),
        )
        for row in leaks[key]
    ]
    left = " and ".join(f"{leaks['samples'][split]} samples of {split}" for split in SPLITS[1:])
    return (
        f"Patients in two splits: {leaks['patients']}. The table counts what came in; a text is what a report says of "
        "one slice. Standard phrases are shared by nature; a large share means that scores of texts are too good. "
        "Shared images mean one patient under two ids, or empty slices. In the files now, "
        f"{left} show an image or teach a text (near-duplicates included) that a split before has.\n\n"
        + _table(("what", "splits", "different", "how often"), rows)
    )


def _share(row: Mapping[str, int]) -> str:
    return f" ({row['part'] / row['of']:.1%})" if row["of"] else ""


def _strata(strata: Mapping[str, Mapping[str, Mapping[str, int]]], field: str, title: str) -> str:
    values = sorted({value for split in SPLITS for value in strata[split].get(field, {})})
    rows = [(value, *(strata[split].get(field, {}).get(value, 0) for split in SPLITS)) for value in values]
    return f"### Samples by {title}\n\n{_table((title, *SPLITS), rows)}" if rows else ""


def _balance(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "Not balanced (`--no-balance`), or no yes/no and choice questions."
    return (
        "Yes/no questions per structure or finding, split and language: as many yes as no, within two points; where "
        "all answers are the same, none stays. Choice questions: the right choice at every place equally often, within "
        "two points, where a split has 200 or more of as many choices. Each stratum stands in the manifest.\n\n"
        + _table(
            ("split", "yes/no questions", "left", "yes before", "yes now", f"structures with {FEW} or more"), _yes(rows)
        )
        + "\n\n"
        + _table(("split", "choices", "questions", "left", "right choice at place"), _places(rows))
    )


def _yes(rows: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[object]]:
    for split in SPLITS:
        mine = [row for row in rows if row["split"] == split and row["question"] == YES_NO]
        before, after = (tuple(sum(row[when][n] for row in mine) for n in (0, 1)) for when in ("before", "after"))
        shares = sorted(row["after"][0] / sum(row["after"]) for row in mine if sum(row["after"]) >= FEW)
        told = f"yes {shares[0]:.1%} to {shares[-1]:.1%}" if shares else "none"
        if sum(before):
            yield split, sum(before), sum(after), _percent(before), _percent(after), told


def _places(rows: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[object]]:
    for split in SPLITS:
        mine = [row for row in rows if row["split"] == split and row["question"] != YES_NO]
        for question in sorted({row["question"] for row in mine}):
            before, after = (
                [
                    sum(places)
                    for places in zip(*(row[when] for row in mine if row["question"] == question), strict=True)
                ]
                for when in ("before", "after")
            )
            shares = ", ".join(f"{n / sum(after):.0%}" for n in after) if sum(after) else "none left"
            yield split, question, sum(before), sum(after), shares


def _percent(yes_no: Sequence[int]) -> str:
    return f"{yes_no[0] / sum(yes_no):.1%}" if sum(yes_no) else "none left"


def _blind(told: Mapping[str, Any]) -> str:
    if not told["questions"]:
        return "No questions."
    solved, solvable = told["solved"] / told["questions"], told["solvable"] / told["questions"]
    left = ", ".join(
        f"{split} {solvable_} of {of} ({solvable_ / of:.1%})" for split, (solvable_, of) in told["left"].items() if of
    )
    return (
        f"Before balance, of {told['questions']} questions {solved:.1%} are guessed right from their words, by the "
        f"answer that other patients' same questions most often have; {solvable:.1%} have a score of at least "
        f"{told['threshold']:g}. Of those in the files that many have it by the same scores: {left or 'none is left'}."
    )


def _why(name: str) -> str:
    if name.startswith("error."):
        return "an input of a stage before was rejected"
    return _WHY.get(name, "" if not name.startswith("dropped.duplicate_") else "the record came in twice")


_WHY = {
    "excluded.study": "its patient was to be left out (`--exclude`)",
    "dropped.balance": "its answer is given too often",
    "dropped.blind": "answered as well without the image (`--drop-blind`)",
    "dropped.copy": "another sample says the same of the same pixels",
    "dropped.near_copy": "the same but for case, punctuation and the order of choices",
    "dropped.inferred": "its sentence does not cite its slice: only to learn from, not in val and test",
    "dropped.leak": "its image or text is in a split before, too (`--drop-leaks`)",
    "merged.ids": "patients of the stream whom `--merge-ids` names",
    "merged.persons": "whom they are",
    "merged.unknown_ids": "ids of `--merge-ids` that no patient of the stream has",
}


def _stages(runs: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            *(run["command"], run["version"], run["id"], run.get("seed", "")),
            _options(run["options"]),
            _inputs(run.get("inputs", {})),
        )
        for run in runs
    ]
    made_with = "made with (version or first digits of SHA-256)"
    return _table(("command", "version", "run", "seed", "options", made_with), rows)


def _options(options: Mapping[str, Any]) -> str:
    """Options that were set, without what the card tells elsewhere; long tables by their size."""
    told = {name: _worded(value) for name, value in sorted(options.items()) if name not in ("licence", "attribution")}
    return ", ".join(f"{name} {value}" for name, value in told.items() if value)


def _worded(value: Any) -> str:
    if value is None or value is False:
        return ""
    if isinstance(value, dict):
        return f"({len(value)} given)" if value else ""
    return "yes" if value is True else " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _quality(ends: Mapping[str, Mapping[str, int]]) -> str:
    """How many structures the quality gates judged in all volumes, and how many tripped each."""
    counts: Counter[str] = Counter()
    for end in ends.values():
        counts.update({name: n for name, n in end.items() if name.startswith("quality.")})
    if not counts["quality.judged"]:
        return "The masks were not judged by quality gates."
    flags = [(name.removeprefix("quality."), n) for name, n in sorted(counts.items()) if name != "quality.judged"]
    told = f"Structures in volumes that quality gates judged: {counts['quality.judged']}."
    return f"{told} Of these have the flag (`cut`: the picture ends there):\n\n{_table(('flag', 'structures'), flags)}"


def _inputs(inputs: Mapping[str, str]) -> str:
    return ", ".join(
        f"{name} {value[:16] if len(value) == 64 else value}" for name, value in sorted(inputs.items()) if name != "key"
    )


def _arrays(manifest: Mapping[str, Any]) -> str:
    held = "copied into `store/`" if manifest["pixels"] == "copy" else "links in `store/` to the store of their maker"
    cut = " Packed with --partial: the stream was cut short." if manifest["partial"] else ""
    return f"Label map: {', '.join(manifest['label_maps']) or 'none'}. Arrays: {held}.{cut}"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
