"""The data card of a packed data set: what is in it, how it was made, what it may not be used for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SPLITS = ("train", "val", "test")


def card(manifest: Mapping[str, Any], *, made_up: bool) -> str:
    """The card as Markdown, from the manifest. No ids, no text of reports."""
    parts = [
        "# Data card",
        _privacy(made_up=made_up),
        "## Contents",
        _table(
            ("", *SPLITS),
            [
                ("patients", *(manifest["patients"][split] for split in SPLITS)),
                *(
                    (word, *(manifest["counts"][split].get(key, 0) for split in SPLITS))
                    for word, key in (
                        ("studies", "study"),
                        ("slices", "slice"),
                        ("masks", "mask"),
                        ("samples", "sample"),
                    )
                ),
            ],
        ),
        _rule(manifest["run"]["options"].get("split_by", "hash")),
        *(_strata(manifest["strata"], field, title) for field, title in _FIELDS),
        "## Shared between splits",
        _leaks(manifest["leaks"]),
        "## Balance",
        _balance(manifest["balance"]),
        "## Without the image",
        _blind(manifest["blind"]),
        "## Funnel",
        "What came in, and what was left out and why.",
        _table(("", "number"), sorted(manifest["funnel"].items())),
        "## Stages",
        _table(
            ("command", "version", "run", "seed"),
            [(run["command"], run["version"], run["id"], run.get("seed", "")) for run in manifest["runs"]],
        ),
        f"Label map: {', '.join(manifest['label_maps']) or 'none'}. Arrays: "
        + (
            "copied into `store/`."
            if manifest["pixels"] == "copy"
            else "links in `store/` to the store they were made in."
        )
        + (" Packed with --partial: the stream was cut short." if manifest["partial"] else ""),
        "Labels and boxes come from an automatic segmentation and from rules on report texts; nobody checked them one "
        "by one. Research use only; not a medical device.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


_FIELDS = (
    ("task", "tasks"),
    ("lang", "languages"),
    ("modality", "modalities"),
    ("question_type", "types of questions"),
    ("source", "sources"),
    ("pairing", "pairing with a slice"),
    ("label", "structures shown"),
)


def _privacy(*, made_up: bool) -> str:
    if made_up:
        return "All studies and reports are made up by `rrg phantom`; no person is behind them."
    return (
        "Pseudonymised, and still personal data: identifiers are keyed hashes, but names and dates in report texts "
        "are NOT masked, and images and reports of real patients can lead back to them. Keep it where the originals "
        "may be kept; do not pass it on without a legal ground."
    )


def _rule(rule: str) -> str:
    told = {
        "hash": "a hash of the patient's pseudonym: new patients move nobody",
        "date": "the date of the patient's last study: the latest are the test",
        "given": "what the samples said that came in",
        "site": "a hash of the institution: whole institutions, and those that share a patient stay together",
    }
    return f"Split by {told.get(rule, 'a file that was given')}. No patient is in two splits."


def _leaks(leaks: Mapping[str, Any]) -> str:
    rows = [
        (title, f"{row['a']} and {row['b']}", row["both"], f"{row['part']} of {row['of']} in {row['b']}")
        for key, title in (
            ("images", "images with the same pixels"),
            ("sentences", "sentences of reports, word for word"),
            ("sentences_but_for_numbers", "the same but for numbers, case and punctuation"),
        )
        for row in leaks[key]
    ]
    return (
        f"Patients in two splits: {leaks['patients']}. Sentences are whole texts of a slice, before balance. Standard "
        "phrases are shared; a large share means that scores of texts are too good. Shared images mean one patient "
        "under two ids, or empty slices.\n\n" + _table(("what", "splits", "different", "how often"), rows)
    )


def _strata(strata: Mapping[str, Mapping[str, Mapping[str, int]]], field: str, title: str) -> str:
    values = sorted({value for split in SPLITS for value in strata[split].get(field, {})})
    rows = [(value, *(strata[split].get(field, {}).get(value, 0) for split in SPLITS)) for value in values]
    return f"### Samples by {title}\n\n{_table((field, *SPLITS), rows)}" if rows else ""


def _balance(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "Not balanced (`--no-balance`), or no yes/no and choice questions."
    return (
        "Yes/no questions per structure or finding, split and language: as many yes as no (within two points); "
        "choice questions: the right choice at every place equally often (from 200 questions on).\n\n"
        + _table(
            ("split", "lang", "question", "about", "before", "after", "share of the most frequent"),
            [
                (
                    row["split"],
                    row["lang"],
                    row["question"],
                    row["label"],
                    " / ".join(map(str, row["before"])),
                    " / ".join(map(str, row["after"])),
                    f"{max(row['after']) / sum(row['after']):.2f}" if sum(row["after"]) else "none left",
                )
                for row in rows
            ],
        )
    )


def _blind(told: Mapping[str, Any]) -> str:
    if not told["questions"]:
        return "No questions."
    solved, solvable = told["solved"] / told["questions"], told["solvable"] / told["questions"]
    return (
        f"Before balance, of {told['questions']} questions {solved:.1%} are guessed right from their words, by the "
        f"answer that other patients' same questions most often have; {solvable:.1%} have a score of at least "
        f"{told['threshold']:g}."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
