"""Options of `rrg train`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from rrg.boxes import Kind
from rrg.windows import Preset

Dataset = Annotated[Path, typer.Argument(help="Data set folder of rrg pack.")]
Out = Annotated[Path, typer.Option(help="Run folder to make, whole or not at all.")]
Model = Annotated[
    str,
    typer.Option(
        help="tiny or tiny:SIZE (s, m, l), random at the start; a model folder; or "
        "llava:llm=FOLDER_OR_GGUF,vision=FOLDER[,grid=N], put together from parts; vision= may be a run.",
    ),
]
InitFrom = Annotated[Path | None, typer.Option(help="Run folder to start from, instead of --model.")]
Stages = Annotated[
    str,
    typer.Option(
        help="tower: learn from masks; siglip: the tower learns from report sentences; sft: learn from questions; of a "
        "model folder: siglip, align, sft.",
        show_default="tower,sft; of a model folder sft",
    ),
]
TowerSteps = Annotated[int, typer.Option(min=0, help="Steps of the tower stage.")]
SiglipSteps = Annotated[int, typer.Option(min=0, help="Steps of tiny's siglip stage.")]
SiglipBatch = Annotated[int, typer.Option(min=2, help="Slices a step of tiny's siglip stage.")]
SftSteps = Annotated[int, typer.Option(min=0, help="Steps of the sft stage.")]
Rate = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Peak learning rate; of tiny in sft, where matrices take 20 times as much.",
        show_default="1e-3; of a model folder 5e-5",
    ),
]
Batch = Annotated[int, typer.Option(min=1, help="Samples a step, of a model folder: the effective batch.")]
MicroBatch = Annotated[int, typer.Option(min=1, help="Of these, as many pass a model folder at once.")]
Optimiser = Annotated[Literal["adamw", "adafactor"], typer.Option(help="Of a model folder.")]
Context = Annotated[int, typer.Option(min=64, help="Longest chat in tokens, of a model folder.")]
Peft = Annotated[Literal["none", "lora"], typer.Option(help="none: all of the language model; lora: adapt.")]
LoraRank = Annotated[int, typer.Option(min=1, help="Rank of the adapters.")]
LoraTargets = Annotated[str, typer.Option(help="Layers to adapt: q_proj,v_proj; default: all linear ones.")]
LoraDropout = Annotated[float, typer.Option(min=0, max=0.9, help="Dropout before the adapters.")]
Also = Annotated[
    str, typer.Option(help="Of a model folder: projector,tower learn in sft, too; with adapters both stand still.")
]
Keep = Annotated[
    Literal["last", "best"],
    typer.Option(help="Of a model folder, the weights of each stage: its last, or those of the lowest val loss."),
]
Patience = Annotated[
    int, typer.Option(min=0, help="With --keep best: end after so many looks without a lower val loss; 0: never.")
]
BoxFormat = Annotated[
    Kind | None, typer.Option(help="How boxes are written.", show_default="loc; of a model folder its own")
]
Bins = Annotated[
    int | None,
    typer.Option(min=2, max=10_000, help="Bins of a side of the slice.", show_default="the format's; loc: 64"),
]
Windows = Annotated[Preset, typer.Option(help="CT windows of the pictures, as their three channels.")]
Lang = Annotated[str, typer.Option(help="Languages to learn.")]
Mix = Annotated[
    str, typer.Option(help="How often tasks or kinds of questions are drawn: which=3,detect=0.5; others are 1.")
]
Shares = Annotated[
    str, typer.Option(help="Part of each task in all that is drawn: report=0.4,vqa=0.4,detect=0.2; others are 0.")
]
Prefix = Annotated[
    Literal["random", "none", "clinical", "question", "both"],
    typer.Option(help="Clinical information and question to radiology before the task; random: each as often."),
]
LowerAnswers = Annotated[
    bool, typer.Option("--lower-answers", help="Of a model folder: answers of vqa in lower case, Yes and yes are one.")
]
FindingsNoise = Annotated[
    float, typer.Option(min=0, max=1, help="How often a finding listed in a prompt is missing, and a wrong one there.")
]
Augment = Annotated[
    str,
    typer.Option(
        help="Of a model folder: some of shift,scale,rotate,intensity,flip; boxes move, too. flip: only where no word "
        "has a side."
    ),
]
NoImage = Annotated[bool, typer.Option("--no-image", help="Control, of a model folder: every picture is grey.")]
Grounding = Annotated[
    Literal["tokens", "mask"] | None,
    typer.Option(help="tokens: boxes as text; mask: a mask head draws what a phrase means.", show_default="tokens"),
]
MaskLoss = Annotated[Literal["bce", "focal"], typer.Option(help="Of the mask head, beside Dice.")]
MaskWeight = Annotated[float, typer.Option(min=0, help="Weight of the mask head's loss beside that of the answers.")]
Precision = Annotated[
    Literal["auto", "f32", "bf16"], typer.Option(help="auto: bf16 where the processor is faster with it, else f32.")
]
Checkpointing = Annotated[
    bool, typer.Option("--gradient-checkpointing", help="Of a model folder: less memory, a third more time.")
]
Attention = Annotated[
    Literal["auto", "eager", "sdpa", "flash_attention_2", "flex_attention"],
    typer.Option("--attn", help="Attention of a model folder; checked against eager before step 1."),
]
FeatureCache = Annotated[
    Path | None, typer.Option(help="Folder that keeps the features of frozen towers, for this run and others.")
]
SaveEvery = Annotated[int, typer.Option(min=0, help="Steps between two checkpoints.", show_default="every ten minutes")]
SampleEvery = Annotated[
    int, typer.Option(min=0, help="Steps between two looks at the validation split.", show_default="a quarter")
]
Fsdp = Annotated[
    bool, typer.Option("--fsdp", help="Of a model folder and several processes: each holds a part of every weight.")
]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads; default: all cores.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on at the last checkpoint of a stopped run.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what went wrong.")]
