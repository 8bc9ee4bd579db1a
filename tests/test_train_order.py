"""What is drawn when, and what is done to it: weights of tasks, context, noise, moved boxes."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch

from rrg.errors import UsageError
from rrg.prompt import render
from rrg.prompt_context import findings_in, findings_known, style_of, with_context, with_noisy_findings
from rrg.records import Box, ImageRef, Mention, Part, Region, Sample, Turn
from rrg.seeds import rng_for
from rrg.synth.dialogue_templates import SAYINGS
from rrg.train_augment import (
    INSIDE,
    View,
    has_side,
    moved_box,
    moved_intensity,
    moved_picture,
    moved_sample,
    random_view,
)
from rrg.train_order import Order, draw_weights
from rrg.train_text import Batches, Question

SHARES = {"report": 0.5, "vqa": 0.3, "detect": 0.2}


def sample(number: int, task: str = "vqa", text: str = "Is the liver visible?", **given: object) -> Sample:
    image = ImageRef(id="i0", ref="series/x#0", rows=60, columns=80)
    turns = (
        Turn(role="user", content=(Part(type="image", ref="i0"), Part(type="text", text=text))),
        Turn(role="assistant", content=(Part(type="text", text="yes"),), loss=True),
    )
    values = {"patient": "p", "study": "s", "images": (image,), "turns": turns, "lang": "en", **given}
    return Sample(id=f"s{number}", task=task, **values)  # type: ignore[arg-type]


def mixed() -> list[Sample]:
    """Very unequal numbers of samples of three tasks."""
    return [sample(n, "report" if n < 40 else "detect" if n < 100 else "vqa", weight=1 + n % 3) for n in range(2000)]


@pytest.mark.parametrize("begin", [0, 137, 100_000])
def test_shares_of_tasks_hold_within_two_percent_of_a_thousand_draws(begin: int) -> None:
    samples = mixed()
    order = Order(samples, draw_weights(samples, {}, SHARES), 5)
    drawn = Counter(samples[order.sample(n)].task for n in range(begin, begin + 1000))
    assert all(abs(drawn[task] / 1000 - share) <= 0.02 for task, share in SHARES.items())


def test_weights_and_mix_hold_within_two_percent_of_a_thousand_draws() -> None:
    samples = mixed()
    weights = draw_weights(samples, {"report": 20.0, "vqa": 0.5})
    order = Order(samples, weights, 0)
    drawn = Counter(samples[order.sample(n)].task for n in range(1000))
    for task in SHARES:
        meant = sum(w for w, s in zip(weights, samples, strict=True) if s.task == task) / weights.sum()
        assert abs(drawn[task] / 1000 - meant) <= 0.02
    each = Counter(order.sample(n) for n in range(20_000))
    wanted = weights / weights.sum() * 20_000
    assert max(abs(each[n] - wanted[n]) for n in range(len(samples))) < 4  # every sample has its turn


def test_draws_do_not_hang_on_each_other_but_on_the_seed() -> None:
    samples = mixed()
    weights = draw_weights(samples, {})
    one, again, other = (Order(samples, weights, seed) for seed in (1, 1, 2))
    ours = [one.sample(n) for n in range(50)]
    assert ours == [again.sample(n) for n in reversed(range(50))][::-1]
    assert ours != [other.sample(n) for n in range(50)]
    assert one.sample(7, 1) != one.sample(7)


def test_a_sample_of_no_weight_is_never_drawn() -> None:
    samples = mixed()
    order = Order(samples, draw_weights(samples, {"vqa": 0.0}), 0)
    assert {samples[order.sample(n)].task for n in range(3000)} == {"report", "detect"}
    with pytest.raises(UsageError, match="--shares wqa: no such task"):
        draw_weights(samples, {}, {"wqa": 1.0})
    with pytest.raises(UsageError, match="no sample has a weight above 0"):
        draw_weights(samples[:10], {"report": 0.0})


def test_the_tiny_family_keeps_shares_in_shared_sequences() -> None:
    tasks = ["report"] * 2 + ["detect"] * 4 + ["vqa"] * 30
    questions = [
        Question(f"{group}-{n}", (1, 2, *range(10, 20)), (False,) * 8 + (True,) * 4, 2, (group,), 1.0, task)
        for group in range(50)
        for n, task in enumerate(tasks)
    ]
    stream = Batches(questions, 4, 80, torch.Generator().manual_seed(0), SHARES)
    drawn: Counter[str] = Counter()
    while sum(drawn.values()) < 1000:
        drawn.update(question.task for group in next(stream) for question in group)
    assert all(abs(drawn[task] / sum(drawn.values()) - share) <= 0.02 for task, share in SHARES.items())
    plain = Batches(questions, 4, 80, torch.Generator().manual_seed(0))
    free = Counter(question.task for _ in range(40) for group in next(plain) for question in group)
    assert free["vqa"] / sum(free.values()) > 0.7  # the control: without shares numbers rule


# Text before the task

CONTEXT = {"clinical": "Known {cirrhosis}.", "question": "Focal lesion?"}


def test_context_stands_before_the_task_and_forms_no_placeholder() -> None:
    one = sample(0, context=CONTEXT)
    text = render(with_context(one, "both")).text
    wanted = "Clinical information: Known {cirrhosis}.\nQuestion: Focal lesion?\nIs the liver visible?"
    assert wanted in text
    assert with_context(one, "none") is one
    assert "Focal" not in render(with_context(one, "clinical")).text
    assert "cirrhosis" not in render(with_context(one, "question")).text
    german = dataclasses.replace(one, lang="de", context={"question": "Herd?"})
    assert "Fragestellung: Herd?\nIs" in render(with_context(german, "both")).text
    assert with_context(german, "clinical") is german


def test_random_styles_come_equally_often() -> None:
    drawn = Counter(style_of("random", rng_for(0, "test", str(n))) for n in range(1000))
    assert len(drawn) == 4
    assert all(200 <= count <= 300 for count in drawn.values())


@pytest.mark.parametrize("form", SAYINGS["report-with-findings"]["en"])
def test_findings_in_the_prompt_get_noise_and_the_report_stays(form: str) -> None:
    one = sample(0, "report", form.format(list="cyst (liver), 46 mm; ascites"))
    other = sample(1, "report", form.format(list="splenomegaly"))
    empty = sample(2, "report", form.format(list="no findings"))
    assert findings_in(one) == ("cyst (liver), 46 mm", "ascites")
    assert findings_in(empty) == ()
    assert findings_in(sample(3, "report")) is None
    known = findings_known([one, other, empty])
    assert known == {"en": ("ascites", "cyst (liver), 46 mm", "splenomegaly")}
    noisy = [with_noisy_findings(one, 0.3, known, rng_for(0, "test", str(n))) for n in range(600)]
    kept = np.mean(["ascites" in (findings_in(each) or ()) for each in noisy])
    wrong = np.mean(["splenomegaly" in (findings_in(each) or ()) for each in noisy])
    assert kept == pytest.approx(0.7, abs=0.06)
    assert wrong == pytest.approx(1 - 0.7**2, abs=0.06)
    assert all(each.turns[1] == one.turns[1] for each in noisy)
    assert with_noisy_findings(one, 0.0, known, rng_for(0, "test", "")) is one
    assert {findings_in(with_noisy_findings(empty, 1.0, known, rng_for(0, "t", str(n)))) for n in range(30)} == {
        (item,) for item in known["en"]
    }


# Moved pictures and boxes


def placed(box: Box, phrase: str = "liver") -> Sample:
    region = Region(label="liver", boxes=(box,), origin="seg")
    return sample(0, text="Where is it?", mentions=(Mention(id="m0", phrase=phrase, regions=(region,)),))


@pytest.mark.parametrize(
    "view", [View((0.05, -0.03)), View(scale=1.1), View((0.02, 0.04), 0.9), View(degrees=90), View(flip=True)]
)
def test_boxes_move_with_pixels_exactly(view: View) -> None:
    """A rectangle in a picture of a slice that is not square, and its box."""
    picture = np.zeros((240, 240, 3), np.uint8)
    box = Box(x0=24, y0=18, x1=40, y1=30)  # of 80 x 60: three and four pixels of the picture each
    picture[72:120, 72:120] = 255
    moved = moved_box(box, view, 60, 80)
    if view.degrees == 90:  # an ellipse that fills the square box turns into itself, the square too
        assert moved.xyxy == pytest.approx((40, 18, 56, 30), abs=1e-6)
    shown = moved_picture(picture, view, nearest=True)[..., 0]
    rows, columns = np.nonzero(shown > 127)
    seen = columns.min() / 3, rows.min() / 4, (columns.max() + 1) / 3, (rows.max() + 1) / 4
    assert moved.xyxy == pytest.approx(seen, abs=0.35)


@pytest.mark.parametrize("degrees", [-5, 3, 5])
def test_a_turned_disc_stays_inside_its_box_and_touches_it(degrees: float) -> None:
    y, x = np.mgrid[:240, :240] + 0.5
    disc = (((x - 90) / 50) ** 2 + ((y - 130) / 30) ** 2 <= 1).astype(np.uint8) * 255
    view = View((0.01, 0.02), 1.05, degrees)
    shown = moved_picture(disc, view, nearest=True)
    rows, columns = np.nonzero(shown)
    box = moved_box(Box(x0=40, y0=100, x1=140, y1=160), view, 240, 240)
    assert box.xyxy == pytest.approx((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1), abs=1.2)


def test_random_views_keep_boxes_inside_and_cut_them_at_the_edge() -> None:
    one = placed(Box(x0=0, y0=0, x1=12, y1=10))
    views = [random_view(one, ("shift", "scale", "rotate"), rng_for(0, "test", str(n))) for n in range(200)]
    assert len(set(views)) > 100
    for view in views:
        (region,) = moved_sample(one, view).mentions[0].regions
        (box,) = region.boxes
        assert min(box.xyxy) >= 0
        whole = moved_box(Box(x0=0, y0=0, x1=12, y1=10), view, 60, 80)
        left = (box.x1 - box.x0) * (box.y1 - box.y0) / ((whole.x1 - whole.x0) * (whole.y1 - whole.y0))
        assert left >= INSIDE - 1e-9


def test_nothing_with_a_side_is_mirrored() -> None:
    box = Box(x0=30, y0=20, x1=50, y1=40)
    for phrase in ("left kidney", "linke Niere", "Niere re.", "R kidney", "dextral"):
        assert has_side(placed(box, phrase))
        assert not any(random_view(placed(box, phrase), ("flip",), rng_for(0, "t", str(n))).flip for n in range(40))
    sided = placed(box)
    region = dataclasses.replace(sided.mentions[0].regions[0], label="kidney_left")
    assert has_side(dataclasses.replace(sided, mentions=(Mention(id="m0", phrase="kidney", regions=(region,)),)))
    flips = [random_view(placed(box), ("flip",), rng_for(0, "t", str(n))).flip for n in range(100)]
    assert 30 < sum(flips) < 70
    assert not any(random_view(placed(box), ("shift",), rng_for(0, "t", str(n))).flip for n in range(40))


def test_what_is_measured_is_not_scaled() -> None:
    one = sample(0, answer="46 mm")
    views = [random_view(one, ("shift", "scale"), rng_for(0, "t", str(n))) for n in range(40)]
    assert {view.scale for view in views} == {1.0}
    assert len({view.shift for view in views}) == 40


def test_intensity_leaves_what_is_outside_of_the_scan_black() -> None:
    picture = np.zeros((20, 20, 3), np.uint8)
    picture[5:15, 5:15] = 100
    made = [moved_intensity(picture, rng_for(0, "t", str(n))) for n in range(40)]
    assert all((each[0] == 0).all() for each in made)
    assert len({int(each[10, 10, 0]) for each in made}) > 10
