"""Metrics of reports that need a model: against hand-made arithmetic, on tiny random encoders made here."""

import importlib.util
import math
import sys
import types

import numpy as np
import pytest

from rrg.errors import RrgError, UsageError
from rrg.formats.label_rows import CHEXBERT
from rrg.metrics import bertscore, chexbert, green
from rrg.metrics.bertscore import Encoded
from rrg.metrics.options import TaskOptions
from rrg.score import score
from rrg.score_models import ModelOptions
from rrg.score_options import Options

from .score_cases import write_jsonl

WORDS = ["the", "heart", "is", "large", "normal", "lungs", "are", "clear", "no", "effusion", "left"]
SAID = ["the heart is large", "no effusion", "lungs are clear", ""]
WANTED = ["the heart is normal", "no effusion", "left effusion", "lungs are clear"]


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    """A random BERT of two layers with a word tokenizer."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=5 + len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def files(tmp_path):
    return (
        write_jsonl(tmp_path / "said.jsonl", [{"id": n, "report": text} for n, text in enumerate(SAID)]),
        write_jsonl(tmp_path / "wanted.jsonl", [{"id": n, "report": t, "lang": "en"} for n, t in enumerate(WANTED)]),
    )


def metrics(files, models, **options):
    options = Options(samples=50, protocol="rouge-score", models=ModelOptions(**models), **options)
    return score("report", *files, options).body


def test_bertscore_by_hand():
    unit = lambda *rows: np.array(rows) / np.linalg.norm(rows, axis=1, keepdims=True)  # noqa: E731
    said = Encoded((2, 7, 8, 3), unit([1, 0], [1, 0], [0, 1], [1, 1]))
    wanted = Encoded((2, 7, 3), unit([1, 0], [1, 0], [-1, 0]))
    plain = bertscore.score(said, wanted, bertscore.weights(said, None, 1), bertscore.weights(wanted, None, 1))
    # tokens said: (1, 0) finds 1, (0, 1) finds 0 at best; the token wanted finds 1
    assert plain == pytest.approx((0.5, 1.0, 2 / 3))
    idf = {7: math.log(3 / 2), 8: math.log(3)}
    heavy = bertscore.score(said, wanted, bertscore.weights(said, idf, 2), bertscore.weights(wanted, idf, 2))
    assert heavy[0] == pytest.approx(math.log(1.5) / (math.log(1.5) + math.log(3)))
    assert bertscore.idf_of([said, wanted]) == pytest.approx({2: 0, 7: 0, 3: 0, 8: math.log(3 / 2)})
    assert bertscore.score(Encoded((2, 3), said.states[:2]), wanted, np.zeros(2), np.ones(3)) == (0, 0, 0)


def test_bertscore_of_a_model(bert, files):
    """Independent: every pair by itself, without padding, straight from transformers."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(bert), AutoModel.from_pretrained(bert).eval()

    def states(text):
        with torch.inference_mode():
            made = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states[1][0]
        return torch.nn.functional.normalize(made, dim=1)

    expected = []
    for said, wanted in zip(SAID, WANTED, strict=True):
        similar = states(said) @ states(wanted).T
        inner = similar.max(dim=1).values[1:-1], similar.max(dim=0).values[1:-1]
        expected.append([float(each.mean()) if len(each) and said else 0.0 for each in inner])
    found = metrics(files, {"bertscore": bert, "bertscore_layer": 1})
    values = [found["metrics"][f"bertscore.{name}"]["value"] for name in ("precision", "recall")]
    assert values == pytest.approx(np.mean(expected, axis=0), abs=1e-6)
    assert found["metrics"]["bertscore.f1"]["ci95"] is not None
    assert "-L1-transformers-" in found["signature"]


def test_baseline_and_language(bert, files, tmp_path):
    table = tmp_path / "base.tsv"
    table.write_text("LAYER,P,R,F\n0,0,0,0\n1,0.5,0.25,0.5\n")
    given = {"bertscore": bert, "bertscore_layer": 1}
    bare, moved = metrics(files, given), metrics(files, {**given, "bertscore_baseline": table})
    for name, base in (("precision", 0.5), ("recall", 0.25), ("f1", 0.5)):
        value = bare["metrics"][f"bertscore.{name}"]["value"]
        assert moved["metrics"][f"bertscore.{name}"]["value"] == pytest.approx((value - base) / (1 - base))
    with pytest.raises(RrgError, match="no line for layer 2"):
        metrics(files, {"bertscore": bert, "bertscore_layer": 2, "bertscore_baseline": table})
    with pytest.raises(UsageError, match="layers 1 to 2"):
        metrics(files, {"bertscore": bert, "bertscore_layer": 3})
    with pytest.raises(UsageError, match="needs --bertscore-layer"):
        metrics(files, {"bertscore": bert})


@pytest.fixture(scope="session")
def labeler(bert, tmp_path_factory):
    """A random CheXbert: as its authors save it, in data parallel form."""
    import shutil

    import torch
    from transformers import AutoModel

    folder = tmp_path_factory.mktemp("chexbert") / "model"
    shutil.copytree(bert, folder)
    torch.manual_seed(5)
    heads = [torch.nn.Linear(16, 4 if n < 13 else 2) for n in range(14)]
    state = {f"module.bert.{name}": each for name, each in AutoModel.from_pretrained(bert).state_dict().items()}
    state["module.bert.embeddings.position_ids"] = torch.arange(32)[None]
    for n, head in enumerate(heads):
        state |= {f"module.linear_heads.{n}.{name}": each for name, each in head.state_dict().items()}
    torch.save({"model_state_dict": state, "epoch": 1}, folder / "chexbert.pth")
    return folder, heads


def test_chexbert_labels_and_f1(bert, labeler, files):
    import torch
    from sklearn.metrics import f1_score
    from transformers import AutoModel, AutoTokenizer

    folder, heads = labeler
    tokenizer, model = AutoTokenizer.from_pretrained(bert), AutoModel.from_pretrained(bert).eval()

    def classes(text):
        if not text:
            return [0] * 14
        with torch.inference_mode():
            first = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0, 0]
            return [int(head(first).argmax()) for head in heads]

    said, wanted = ([classes(text) for text in texts] for texts in (SAID, WANTED))
    found = chexbert.Labeler(folder).labels([*SAID, *WANTED])
    assert [[int(each.get(name, 0)) for name in CHEXBERT] for each in found] == [*said, *wanted]
    positive = [np.isin(side, (1, 3)) for side in (wanted, said)]
    values = metrics(files, {"chexbert": folder})["metrics"]
    five = [
        CHEXBERT.index(name) for name in ("Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion")
    ]
    for size, columns in (("14", list(range(14))), ("5", five)):
        for how in ("micro", "macro"):
            expected = f1_score(positive[0][:, columns], positive[1][:, columns], average=how, zero_division=0)
            assert values[f"chexbert.{size}.{how}.f1"]["value"] == pytest.approx(expected)


def test_absent_weights_are_skipped_and_never_zero(files, tmp_path):
    (tmp_path / "radgraph-xl").mkdir()
    given = {"bertscore": tmp_path, "bertscore_layer": 1, "chexbert": tmp_path, "radgraph": tmp_path / "radgraph-xl"}
    values = metrics(files, given)["metrics"]
    models = {name: each for name, each in values.items() if name.startswith(("bertscore", "chexbert", "radgraph"))}
    assert len(models) == 3 + 4 + 3
    assert all(each["value"] is None and "not found" in each["skipped"] for each in models.values())
    assert values["rougel.f"]["value"] > 0


def test_other_weights_are_refused(bert, tmp_path, files):
    import shutil

    import torch

    folder = tmp_path / "other"
    shutil.copytree(bert, folder)
    torch.save({"bert.x": torch.zeros(1)}, folder / "chexbert.pth")
    with pytest.raises(RrgError, match="not CheXbert's weights"):
        metrics(files, {"chexbert": folder})


@pytest.mark.parametrize("model", ["chexbert", "radgraph"])
def test_english_labelers_refuse_german_without_force(model, files, tmp_path):
    write_jsonl(files[1], [{"id": n, "report": text, "lang": "de"} for n, text in enumerate(WANTED)])
    folder = tmp_path / "radgraph"
    with pytest.raises(RrgError, match="reads English"):
        metrics(files, {model: folder})
    forced = metrics(files, {model: folder}, task=TaskOptions(force=True), given=frozenset({"force"}))
    assert any("skipped" in each for each in forced["metrics"].values())


def test_force_means_nothing_without_a_labeler(files):
    with pytest.raises(UsageError, match="--force means nothing"):
        score("report", *files, Options(task=TaskOptions(force=True), given=frozenset({"force"})))


def test_radgraph_reads_what_the_package_says(files, tmp_path, monkeypatch):
    """The package itself is not installed here: a stand-in with its interface says one entity for each word."""
    folder = tmp_path / "radgraph-xl"
    (folder / "vocabulary").mkdir(parents=True)
    for name in ("config.json", "weights.th"):
        (folder / name).write_bytes(b"{}")

    class RadGraph:
        def __init__(self, model_type, model_cache_dir):
            assert (model_type, model_cache_dir) == ("radgraph-xl", str(tmp_path))
            print("Using device: cpu")

        def __call__(self, texts):
            def entities(text):
                return {str(n): {"tokens": word, "label": "x", "relations": []} for n, word in enumerate(text.split())}

            return {str(n): {"entities": entities(text)} for n, text in enumerate(texts)}

    package = types.ModuleType("radgraph")
    package.RadGraph = RadGraph
    package.__spec__ = importlib.util.spec_from_loader("radgraph", None)
    monkeypatch.setitem(sys.modules, "radgraph", package)
    values = metrics(files, {"radgraph": folder})["metrics"]
    assert values["radgraph.simple"]["value"] == pytest.approx((3 / 4 + 1 + 0 + 0) / 4)


def test_green_of_a_judge():
    said = dict(zip(green.FIELDS, (3, 1, 0, 0, 0, 0, 0), strict=True))
    assert green.green(green.counts_of(said)) == 3 / 4
    assert green.green(green.counts_of({**said, "matched_findings": 0})) == 0
