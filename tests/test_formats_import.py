"""pack --from: data sets of others come in, counted; hostile and broken ones cost only themselves."""

import json
import struct
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rrg.commands.pack import Foreign

from rrg.datasets_kinds import KINDS, read_foreign
from rrg.errors import RrgError
from rrg.infer_pixels import pixels_of
from rrg.pack import Options
from rrg.pack_from import Choices, pack_from
from rrg.records import Mask, Sample, Slice
from rrg.store import read as read_array
from rrg.train_data import Pictures, check_dataset, read_part
from tests.conftest import Rrg
from tests.synth_cases import read as records_of

RNG = np.random.default_rng(5)


def bring(kind: str, path: Path, out: Path, **more: Any) -> dict[str, Any]:
    """Import; the manifest, with the number of rejected under ``rejected``."""
    split_file = more.pop("split_file", None)
    manifest, rejected = pack_from(read_foreign(kind, path, split_file), out, Options(), Choices(**more))
    return {**manifest, "rejected": rejected}


def samples(folder: Path, split: str = "train") -> list[Sample]:
    return [each for each in records_of(folder / f"{split}.jsonl") if isinstance(each, Sample)]


def picture(path: Path, rows: int = 40, columns: int = 60, *, colour: bool = False) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = RNG.integers(0, 256, (rows, columns, 3) if colour else (rows, columns), dtype=np.uint8)
    Image.fromarray(values).save(path, quality=95)
    return values


def bomb(path: Path) -> None:
    """A PNG of some bytes that says it is 60,000 x 60,000 pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))


# --- SLAKE


def slake(root: Path) -> dict[str, np.ndarray]:
    """A SLAKE of five pictures; the masks of the first."""
    mask = np.zeros((40, 60), np.uint8)
    mask[5:20, 10:30], mask[25:30, 40:50] = 1, 7
    for number in range(4):
        picture(root / f"imgs/xmlab{number}/source.jpg")
        (root / f"imgs/xmlab{number}/detection.json").write_text(
            json.dumps([{"Liver": [10.0, 5.0, 20.0, 15.0]}, {"Liver": [0, 0, 5, 5]}, {"Lung Cancer": [40, 25, 10, 5]}])
        )
    Image.fromarray(mask).save(root / "imgs/xmlab0/mask.png")
    (root / "mask.txt").write_text("1:Liver\n7:Lung Cancer\n8:Left Kidney\n")
    (root / "imgs/xmlab3/detection.json").write_text(json.dumps([{"Liver": [50.0, 5.0, 20.0, 15.0]}]))

    def row(number: int, qid: int, **more: Any) -> dict[str, Any]:
        return {"img_name": f"xmlab{number}/source.jpg", "question": "Is it {so}?", "answer": " Yes ", "q_lang": "en",
                "modality": "MRI", "answer_type": "CLOSED", "content_type": "Organ", "qid": qid, **more}  # fmt: skip

    (root / "train.json").write_text(json.dumps([
        row(0, 1), row(0, 2, q_lang="zh", question="这是?"), row(0, 3), row(3, 4, answer=2, answer_type="OPEN"),
        row(0, 5, answer=""), row(9, 6), row(0, 7, img_name="../../../etc/passwd"),
    ]))  # fmt: skip
    (root / "validate.json").write_text(json.dumps([row(1, 8)]))
    (root / "test.json").write_text(json.dumps([row(2, 9), row(0, 10)]))
    return {"liver": mask == 1, "lung_cancer": mask == 7}


def test_slake(tmp_path: Path) -> None:
    masks = slake(tmp_path / "slake")
    manifest = bring("slake", tmp_path / "slake", tmp_path / "out")
    counts = manifest["source"]["counts"]
    assert counts == {
        "error.E_FRAME": 1,  # a box of xmlab3 lies beside its picture
        "error.E_IO": 1,  # xmlab9 is not there,
        "error.E_NO_IMAGE": 1,  # and nor is its question
        "error.E_NO_ANSWER": 1,
        "error.E_PATH": 1,
        "left_out.language_zh": 1,
        "mask": 2,
        "sample": 6 + 2 * 4,
        "slice": 5,
    }
    assert manifest["source"]["in_two_splits"] == 1  # xmlab0 is in train and in test
    assert manifest["leaks"]["images"][1]["both"] == 1
    train = samples(tmp_path / "out")
    yes = [sample for sample in train if sample.answer == "Yes"]
    assert sorted(str(sample.extra) for sample in yes) == [
        "{'slake': '1'}",
        "{'slake': '3'}",
    ]  # the same question twice stays twice
    assert {sample.turns[0].content[1].text for sample in yes} == {"Is it {{so}}?"}
    assert {sample.question_type for sample in yes} == {"closed"}
    assert {sample.answer for sample in train if sample.question_type == "open"} == {"2"}
    where = {sample.mentions[0].phrase: sample.mentions[0].regions[0] for sample in train if sample.mentions}
    assert [box.xyxy for box in where["liver"].boxes] == [(10, 5, 30, 20), (0, 0, 5, 5)]
    assert [box.xyxy for box in where["lung cancer"].boxes] == [(40, 25, 50, 30)]
    (mask,) = (each for each in records_of(tmp_path / "out/train.jsonl") if isinstance(each, Mask))
    layers = read_array(tmp_path / "out/store", mask.array)
    for found in mask.labels:
        assert (masks[found.label] == (layers[found.layer] == found.class_id)).all()
    assert where["liver"].mask == mask.array
    card = (tmp_path / "out/card.md").read_text()
    assert "CC BY 4.0" in card
    assert "ChestX-ray8" in card


def test_slake_counts_can_be_asked_for(tmp_path: Path, rrg: Rrg) -> None:
    slake(tmp_path / "slake")
    done = rrg("pack", "--from", "slake", tmp_path / "slake", "--out", tmp_path / "out", "--strict-counts", code=1)
    assert b"7 questions in train, 9835 were published" in done.stderr
    assert not (tmp_path / "out").exists()
    done = rrg("pack", "--from", "slake", tmp_path / "slake", "--out", tmp_path / "out", code=3)
    assert b"warning: SLAKE (Liu et al., ISBI 2021): 6 images, 642 were published" in done.stderr
    rrg("pack", "--from", "slake", tmp_path / "slake", "--out", tmp_path / "out", code=2)
    rrg("pack", "--from", "slake", tmp_path / "slake", "--out", tmp_path / "out", "--resume", code=3)


def test_masks_that_do_not_fit_reject_their_picture_only(tmp_path: Path) -> None:
    slake(tmp_path / "slake")
    Image.fromarray(np.ones((60, 40), np.uint8)).save(tmp_path / "slake/imgs/xmlab1/mask.png")  # turned over
    Image.fromarray(np.full((40, 60), 9, np.uint8)).save(tmp_path / "slake/imgs/xmlab2/mask.png")  # 9 has no name
    counts = bring("slake", tmp_path / "slake", tmp_path / "out")["source"]["counts"]
    assert counts["error.E_GRID"] == counts["error.E_LABEL"] == 1
    assert counts["error.E_NO_IMAGE"] == 1 + 2 * 3
    (tmp_path / "slake/mask.txt").write_text("Liver:1\n")
    with pytest.raises(RrgError, match=r"mask\.txt, line 1: expected a grey value and a name"):
        read_foreign("slake", tmp_path / "slake")


# --- VQA-RAD


def vqa_rad(root: Path, colour: bool = True) -> dict[str, np.ndarray]:
    values = {f"synpic{n}.jpg": picture(root / f"images/synpic{n}.jpg", colour=colour) for n in range(3)}

    def row(number: int, kind: str = "closed ", **more: Any) -> dict[str, Any]:
        return {"question": "Is it?", "answer": "No", "image_name": f"synpic{number}.jpg", "q_type": kind, **more}

    (root / "train.json").write_text(json.dumps([row(0), row(0, "open", answer=3), row(0, "often")]))
    (root / "validation.json").write_text(json.dumps([row(1)]))
    public = [
        {**row(n), "answer_type": "OPEN", "image_organ": "ABD", "phrase_type": phrase, "question_type": " POS "}
        for n, phrase in ((0, "freeform"), (0, "test_para"), (2, "para"))
    ]
    (root / "vqa_rad_public.json").write_text(json.dumps(public))
    return values


def test_vqa_rad(tmp_path: Path) -> None:
    vqa_rad(tmp_path / "rad")
    manifest = bring("vqa-rad", tmp_path / "rad", tmp_path / "out")
    assert manifest["source"]["counts"] == {"error.E_FORMAT": 1, "sample": 3, "slice": 2}
    assert manifest["source"]["in_two_splits"] == 0
    assert not samples(tmp_path / "out", "test")  # the public file is not read where there are splits
    one, two = samples(tmp_path / "out")
    assert (one.question_type, one.answer, two.question_type, two.answer) == ("closed", "No", "open", "3")
    assert one.images[0].modality == "CT"
    image = one.images[0]
    stored = pixels_of(image, store=tmp_path / "out/store", held={})
    with Image.open(tmp_path / "rad/images/synpic0.jpg") as opened:
        assert (stored == np.asarray(opened.convert("RGB"))).all()


def test_vqa_rad_public_file_shares_images(tmp_path: Path) -> None:
    vqa_rad(tmp_path / "rad", colour=False)
    manifest = bring("vqa-rad", tmp_path / "rad/vqa_rad_public.json", tmp_path / "out")
    assert manifest["source"]["in_two_splits"] == 1
    assert {split: manifest["counts"][split].get("sample", 0) for split in ("train", "test")} == {"train": 2, "test": 1}
    assert (
        "2 splits" in (tmp_path / "out/card.md").read_text() or "two splits" in (tmp_path / "out/card.md").read_text()
    )
    (slice_,) = (s for s in records_of(tmp_path / "out/test.jsonl") if isinstance(s, Slice))
    assert read_array(tmp_path / "out/store", slice_.pixels).shape == (40, 60)  # grey stays grey
    (tmp_path / "split.csv").write_text("image,split\nsynpic0.jpg,test\nsynpic2,train\n")
    manifest = bring(
        "vqa-rad", tmp_path / "rad/vqa_rad_public.json", tmp_path / "again", split_file=tmp_path / "split.csv"
    )
    assert manifest["source"]["in_two_splits"] == 0
    assert [len(samples(tmp_path / "again", split)) for split in ("train", "test")] == [1, 2]
    (tmp_path / "split.json").write_text(json.dumps({"val": ["synpic2.jpg"]}))
    manifest = bring(
        "vqa-rad", tmp_path / "rad/vqa_rad_public.json", tmp_path / "v", split_file=tmp_path / "split.json"
    )
    assert manifest["source"]["counts"]["left_out.not_in_split_file"] == 2
    (tmp_path / "split.csv").write_text("image,split\nsynpic0.jpg,sometimes\n")
    with pytest.raises(RrgError, match="'sometimes'; expected train, val or test"):
        read_foreign("vqa-rad", tmp_path / "rad", tmp_path / "split.csv")


def test_training_and_pages_read_what_came_in(tmp_path: Path, rrg: Rrg) -> None:
    vqa_rad(tmp_path / "rad")
    bring("vqa-rad", tmp_path / "rad", tmp_path / "out")
    check_dataset(tmp_path / "out")
    part = read_part(tmp_path / "out", "train", ("en",))
    pictures = Pictures(tmp_path / "out", "radgrounder", 32)
    assert {pictures.add(sample.images[0]) for sample in part.samples} == {0}
    assert pictures.stacked().shape == (1, 32, 32, 3)
    said = b"".join(
        json.dumps({"id": sample.id, "prediction": sample.answer}).encode() + b"\n" for sample in part.samples
    )
    done = rrg("score", "vqa", "-", tmp_path / "out/train.jsonl", stdin=said)
    assert b"accuracy" in done.stdout
    rrg("view", tmp_path / "out", "--page", tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size > 1000


# --- LLaVA, ms-swift, RadGrounder of others


def talk(root: Path, rows: list[dict[str, Any]], name: str = "train.json") -> None:
    root.mkdir(exist_ok=True)
    text = json.dumps(rows) if name.endswith(".json") else "".join(json.dumps(row) + "\n" for row in rows)
    (root / name).write_text(text)


def turns(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[number % 2], "value": text} for number, text in enumerate(texts)]


def test_llava_of_others(tmp_path: Path) -> None:
    root = tmp_path / "llava"
    for name in "abc":
        picture(root / f"img/{name}.png")
    talk(root, [
        {"id": 1, "image": "img/a.png", "conversations": turns("What?\n<image>", "A dog [0.1, 0.2, 0.5, 0.75], so.")},
        {"id": 2, "image": ["img/a.png", "img/b.png"], "conversations": turns("<image><image>?", "No", "Why?", "So")},
        {"id": 3, "image": "img/c.png", "conversations": turns("No mark", "[0.0,0.0,1.0,1.0]")},
        {"id": 4, "image": "img/c.png", "conversations": turns("<image>Hm", "a [10, 20, 30, 40]")},
        {"id": 5, "image": "img/c.png", "conversations": turns("<image>Hm", "a [0.5, 0.2, 0.1, 0.4]")},
        {"id": 6, "image": "img/c.png", "conversations": turns("<image><image>Hm", "a")},
        {"id": 7, "image": "img/c.png", "conversations": turns("<image>Only asked")},
        {"id": 8, "image": "/etc/hostname", "conversations": turns("<image>Hm", "a")},
        {"id": 9, "image": "img/../../x.png", "conversations": turns("<image>Hm", "a")},
        {"id": 10, "image": "img/c.png", "conversations": [{"from": "bot", "value": "x"}]},
        {"id": 11, "conversations": turns("Text only?", "yes")},
    ])  # fmt: skip
    manifest = bring("llava", root, tmp_path / "out")
    counts = manifest["source"]["counts"]
    assert {name: counts[name] for name in counts if name.startswith("error.")} == {
        "error.E_FRAME": 1, "error.E_BOX": 1, "error.E_FORMAT": 2, "error.E_NO_ANSWER": 1, "error.E_PATH": 2,
    }  # fmt: skip
    by_id = {(each.extra or {})["llava"]: each for each in samples(tmp_path / "out")}
    assert by_id.keys() == {"1", "2", "3", "11"}
    assert by_id["1"].turns[0].content[0].text == "What?"
    assert by_id["1"].turns[1].content[0].text == "{m0}, so."
    (mention,) = by_id["1"].mentions
    assert (mention.phrase, mention.regions[0].boxes[0].xyxy) == ("A dog", (6, 8, 30, 30))
    assert len(by_id["2"].images) == 2
    assert [turn.loss for turn in by_id["2"].turns] == [False, True, False, True]
    assert by_id["1"].patient == by_id["2"].patient  # they share a picture
    assert by_id["3"].turns[0].content[0].ref == "i0"
    assert by_id["3"].mentions[0].regions[0].boxes[0].xyxy == (0, 0, 60, 40)
    assert by_id["11"].images == ()


def test_ms_swift_of_others(tmp_path: Path) -> None:
    root = tmp_path / "swift"
    picture(root / "a.png")
    ask = [{"role": "system", "content": "S"}, {"role": "user", "content": "<image>Find <ref-object>"}]

    def row(answer: str, **objects: Any) -> dict[str, Any]:
        return {"messages": [*ask, {"role": "assistant", "content": answer}], "images": ["a.png"], "objects": objects}

    talk(root, [
        row("<bbox><bbox>", ref=["liver"], bbox=[[1, 2, 3.5, 4], [5, 6, 7, 8]]),
        row("<ref-object><bbox>", ref=["x", "y"], bbox=[[0.5, 0.5, 1, 1]], bbox_type="norm1"),
        row("<bbox>", ref=["liver"], bbox=[[1, 2, 3, 400]]),
        row("<bbox><bbox>", ref=["liver"], bbox=[[1, 2, 3, 4]]),
        row("<bbox>", ref=["liver"], bbox=[[1, 2]]),
    ], "rows.jsonl")  # fmt: skip
    manifest = bring("ms-swift", root / "rows.jsonl", tmp_path / "out")
    assert manifest["source"]["counts"]["error.E_BOX"] == 2
    assert manifest["source"]["counts"]["error.E_FRAME"] == 1
    found = [each for split in ("train", "val", "test") for each in samples(tmp_path / "out", split)]
    boxes = {tuple(b.xyxy for m in s.mentions for r in m.regions for b in r.boxes) for s in found}
    assert boxes == {((1, 2, 3.5, 4), (5, 6, 7, 8)), ((30, 20, 60, 40),)}
    assert {turn.role for sample in found for turn in sample.turns} == {"system", "user", "assistant"}


def test_radgrounder_of_others(tmp_path: Path) -> None:
    root = tmp_path / "rad"
    picture(root / "a.png", 512, 256)
    tag = "<p bbox=<loc0100><loc0120><loc0300><loc0310> id=<seg005>>"

    def row(answer: str) -> dict[str, Any]:
        return {"image": "a.png", "question": "Caption:", "answer": answer}

    talk(root, [
        row(f"Large {tag}liver</p>."), row(f"{tag}liver"), row(f"{tag}a {tag}b</p></p>"),
        row("<p bbox=<loc0100><loc0120><loc0300> id=<seg005>>x</p>"), row("<p bbox=<loc0600><loc0><loc0><loc0>>x</p>"),
    ])  # fmt: skip
    manifest = bring("radgrounder", root, tmp_path / "out")
    assert manifest["source"]["counts"]["error.E_BOX"] == 4
    (sample,) = samples(tmp_path / "out")
    (region,) = sample.mentions[0].regions
    assert (region.label, region.class_id, sample.answer) == ("liver", 5, "Large liver.")
    assert region.boxes[0].xyxy == (100.5 / 2, 120.5, 300.5 / 2, 310.5)


# --- COCO of others


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_of_others(tmp_path: Path) -> None:
    from pycocotools import mask as coco_mask

    root = tmp_path / "coco"
    for name in ("a", "b"):
        picture(root / f"val2017/{name}.jpg", 40, 60)
    square = np.zeros((40, 60), np.uint8)
    square[10:20, 30:50] = 1
    code = coco_mask.encode(np.asfortranarray(square))
    counts = [30 * 40 + 10, *([10, 30] * 20)[:-1], 20 + 40 * 10]

    def note(number: int, segmentation: Any, category: int = 1, **more: Any) -> dict[str, Any]:
        return {"id": number, "image_id": 1, "category_id": category, "bbox": [30, 10, 20, 10], "iscrowd": 0,
                "segmentation": segmentation, **more}  # fmt: skip

    document = {
        "licenses": [{"name": "CC BY"}],
        "images": [
            {"id": 1, "file_name": "a.jpg"},
            {"id": 2, "file_name": "b.jpg"},
            {"id": 3, "file_name": "../c.jpg"},
        ],
        "categories": [{"id": n, "name": f"thing {n}"} for n in range(1, 5)],
        "annotations": [
            note(1, [[30, 10, 50, 10, 50, 20, 30, 20]]),
            note(2, {"size": [40, 60], "counts": counts}, 2),
            note(3, {"size": [40, 60], "counts": code["counts"].decode()}, 3),
            note(4, {"size": [40, 60], "counts": counts}, 4, iscrowd=1),
            note(5, [], 1, image_id=77),
        ],
    }
    (root / "annotations").mkdir()
    (root / "annotations/instances_val2017.json").write_text(json.dumps(document))
    manifest = bring("coco", root, tmp_path / "out")
    assert manifest["source"]["counts"] == {
        "error.E_PATH": 1, "left_out.annotation_without_image": 1, "left_out.crowd": 1, "mask": 1, "sample": 3,
        "slice": 2,
    }  # fmt: skip
    (mask,) = (each for each in records_of(tmp_path / "out/val.jsonl") if isinstance(each, Mask))
    layers = read_array(tmp_path / "out/store", mask.array)
    assert layers.shape == (3, 40, 60)  # three things at one place: three layers
    for found in mask.labels:
        assert ((layers[found.layer] == found.class_id) == square.astype(bool)).all()
    assert "CC BY" in (tmp_path / "out/card.md").read_text()
    too_long = coco_mask.encode(np.ones((80, 60), np.uint8, order="F"))["counts"].decode()
    for bad in (
        {"size": [60, 40], "counts": counts},
        {"size": [40, 60], "counts": too_long},
        {"counts": 1},
        "x",
        [[1, 2]],
    ):
        document["annotations"] = [note(1, bad)]
        (root / "annotations/instances_val2017.json").write_text(json.dumps(document))
        rejected = bring("coco", root, tmp_path / f"bad{len(str(bad))}")["source"]["counts"]
        assert rejected.get("error.E_GRID", 0) + rejected.get("error.E_MALFORMED", 0) == 1


# --- hostile pictures


def test_bombs_links_and_what_is_no_picture(tmp_path: Path) -> None:
    root = tmp_path / "llava"
    picture(root / "good.png")
    bomb(root / "bomb.png")
    (root / "text.png").write_text("no picture")
    (root / "folder.png").mkdir()
    picture(tmp_path / "outside.png")
    (root / "img").mkdir()
    (root / "img/link.png").symlink_to(tmp_path / "outside.png")
    (root / "elsewhere").symlink_to(tmp_path, target_is_directory=True)  # a folder of pictures may be a link
    names = ["good.png", "bomb.png", "text.png", "folder.png", "img/link.png", "elsewhere/outside.png", "none.png"]
    talk(root, [{"id": n, "image": name, "conversations": turns("<image>?", "a")} for n, name in enumerate(names)])
    manifest = bring("llava", root, tmp_path / "out")
    assert {(each.extra or {})["llava"] for each in samples(tmp_path / "out")} == {"0", "5"}
    counts = Counter(manifest["source"]["counts"])
    assert counts["error.E_NO_IMAGE"] == 5
    assert counts["error.E_PATH"] == 1
    assert counts["error.E_IO"] == 2
    assert counts["error.E_MALFORMED"] + counts["error.E_TOO_LARGE"] == 2
    text = (tmp_path / "out/train.jsonl").read_text() + (tmp_path / "out/manifest.json").read_text()
    assert str(tmp_path) not in text


# --- real data


def test_real_vqa_rad(data: Path, tmp_path: Path) -> None:
    manifest = bring("vqa-rad", data / "vqa-rad", tmp_path / "out", strict_counts=True)
    assert manifest["source"]["counts"] == {"sample": 785 + 728, "slice": 109 + 102}
    assert manifest["source"]["in_two_splits"] == 0
    assert manifest["leaks"]["patients"] == 0
    assert all(row["both"] == 0 for row in manifest["leaks"]["images"])
    for name, split in (("train", "train"), ("validation", "val")):
        rows = json.loads((data / f"vqa-rad/{name}.json").read_text())
        found = samples(tmp_path / "out", split)
        asked = Counter((row["question"].strip(), str(row["answer"]).strip(), row["q_type"].strip()) for row in rows)
        told = Counter(
            (s.turns[0].content[1].text.replace("{{", "{").replace("}}", "}"), s.answer, s.question_type)  # type: ignore[union-attr]
            for s in found
        )
        assert asked == told


def test_real_slake_texts(data: Path, tmp_path: Path) -> None:
    manifest = bring("slake", data / "slake-text-boxes", tmp_path / "out", strict_counts=True, text_only=True)
    rows = [
        row
        for name in ("train", "validate", "test")
        for row in json.loads((data / f"slake-text-boxes/{name}.json").read_text())
    ]
    english = [row for row in rows if row["q_lang"] == "en"]
    empty = sum(not str(row["answer"]).strip() for row in english)
    boxes = json.loads((data / "slake-text-boxes/detection_boxes.json").read_text())["images"]
    asked = {(row["img_name"].split("/")[0]) for row in english}
    structures = sum(len({name for entry in boxes[image] for name in entry}) for image in asked)
    assert (len(rows), len(english)) == (14_028, 7_033)
    assert manifest["source"]["counts"] == {
        "error.E_NO_ANSWER": empty,
        "left_out.boxes": structures,
        "left_out.language_zh": len(rows) - len(english),
        "sample": len(english) - empty,
    }


def test_ids_of_patients_are_hashed_and_with_a_key_keyed(tmp_path: Path, rrg: Rrg, key_file: Path) -> None:
    root = tmp_path / "llava"
    rows = []
    for number, who in enumerate(("Meier^Anna", "Meier^Anna", "0123456789abcdef0123")):
        picture(root / f"p{number}.png")
        rows.append({"image": f"p{number}.png", "patient": who, "conversations": turns("<image>?", "a")})
    talk(root, rows, "all.jsonl")
    seen = []
    for name, more in (("plain", ()), ("keyed", ("--key-file", key_file))):
        rrg("pack", "--from", "llava", root, "--out", tmp_path / name, *more)
        found = [each for split in ("train", "val", "test") for each in samples(tmp_path / name, split)]
        seen.append({each.patient for each in found})
        assert len({each.study for each in found}) == 2
        assert "Meier" not in "".join(path.read_text() for path in (tmp_path / name).glob("*.*"))
    assert len(seen[0]) == len(seen[1]) == 2
    assert seen[0] & seen[1] == {"0123456789abcdef0123"}


def test_the_command_takes_every_kind() -> None:
    assert tuple(each.value for each in Foreign) == KINDS
