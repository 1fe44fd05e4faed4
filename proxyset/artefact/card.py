"""The card of a proxy set: what a person reads first who finds it on a hub."""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.choice import DataChoice, Form
from proxyset.names import clean_name
from proxyset.train.evaluate import Score
from proxyset.train.protocols import PAPER, VALUES, Evaluation, describe_protocol

LICENCES = {
    "digits": ("cc-by-4.0", "Optical Recognition of Handwritten Digits (UCI): CC BY 4.0"),
    "mnist": ("cc-by-sa-3.0", "MNIST (LeCun, Cortes): CC BY-SA 3.0"),
    "fashion-mnist": ("mit", "Fashion-MNIST (Zalando): MIT"),
    "svhn": ("other", "SVHN (Netzer et al.): for non-commercial use only"),
}
"""Of the real images: the hub's word for it, and what it is."""
UNKNOWN = ("unknown", "that of the source, which states none that this program knows: ask its owner before you share")
SIZES = ((1000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
PLAIN = str.maketrans({"`": "'", "|": "¦"})  # what would end a code span or a cell
LONGEST_LIST = 2000  # letters of all class names


def card(proxy: ProxySet, file: str) -> str:
    """README.md with its header in YAML.

    Args:
        file: name of the set's .safetensors file, which lies beside it.
    """
    spec, facts = proxy.spec, proxy.provenance
    method, source = str(facts.get("method", "unknown method")), facts.get("dataset", {})
    name, word = clean_name(spec.name), LICENCES.get(str(source.get("source")), UNKNOWN)
    real = f" {source['images']:,}" if source.get("images") else ""
    classes = ", ".join(f"`{clean_name(one).translate(PLAIN)}`" for one in spec.class_names)
    title = f"{name}, condensed by {clean_name(method)} to {proxy.ipc} images per class"
    return f"""---
{yaml.safe_dump(_header(proxy, title, word[0]), sort_keys=False, allow_unicode=True).strip()}
---

# {title}

A few images per class that stand in for the{real} training images of {name}: a network that trains on these alone
learns to classify the real ones. Made with proxyset {clean_name(str(facts.get("versions", {}).get("proxyset", "")))}.

| | |
|---|---|
| images | {_count(proxy)} |
| classes | {classes if len(classes) <= LONGEST_LIST else f"{classes[:LONGEST_LIST]}…"} |
| normalisation | mean {_numbers(spec.mean)}, standard deviation {_numbers(spec.std)} of pixels from 0 to 1 |
| a mirrored image keeps its label | {"yes" if spec.flip else "no"} |
| licence of the real images | {word[1]} |

## Scores

{_scores(proxy)}

{_train_on(proxy, file)}
## Settings

```json
{json.dumps(_public(facts), indent=1, ensure_ascii=True)}
```
"""


def _header(proxy: ProxySet, title: str, licence: str) -> dict[str, Any]:
    count = proxy.data.trained_on  # rows of the table
    return {
        "pretty_name": title,
        "license": licence,
        "task_categories": ["image-classification"],
        "tags": ["dataset-distillation", "dataset-condensation", "proxyset"],
        "size_categories": [next((word for most, word in SIZES if count < most), "1M<n<10M")],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train.parquet"}]}],
    }


def _count(proxy: ProxySet) -> str:
    """How many images there are, and of which shape."""
    spec, data = proxy.spec, proxy.data
    words = f"{len(data):,}, {spec.channels}×{spec.size}×{spec.size}, {proxy.ipc} for each of {spec.classes} classes"
    if data.formation == 1:
        return words
    return f"{data.trained_on:,} at full size, the {data.formation}×{data.formation} tiles of {words}"


def _scores(proxy: ProxySet) -> str:
    """A line for each score, mean ± standard deviation over fresh networks."""
    scores = proxy.provenance.get("scores", [])
    if not scores:
        return "Not scored yet."
    lines = ["| network | test accuracy | protocol | device |", "|---|---|---|---|"]
    for one in scores:
        score = Score(clean_name(str(one["net"])), tuple(one["accuracies"]), one["seconds"])
        spread = f" ± {100 * score.std:.1f}" if len(score.accuracies) > 1 else ""
        shown = f"{100 * score.mean:.1f}{spread} % (n = {len(score.accuracies)})"
        words = [f"`{score.net}`", shown, describe_protocol(one["protocol"]), str(one.get("device", ""))]
        lines.append(f"| {' | '.join(clean_name(word).replace('|', '¦') for word in words)} |")
    return "\n".join(lines)


def _train_on(proxy: ProxySet, file: str) -> str:
    """How to train on it in any framework, and how to have its score again."""
    soft = "; `target` holds a probability for each class" if proxy.data.targets is not None else ""
    return f"""## Train on it

`image` is rounded to 8 bits, to look at. `normalised` holds the exact values{soft}. In any framework:

```python
from datasets import load_dataset

rows = load_dataset("THIS FOLDER OR REPOSITORY", split="train").with_format("torch")
images, labels = rows["normalised"][:], rows["label"][:]  # float32 N×C×H×W, int64 N
```

{_reproduce(proxy, file)}
"""


def _reproduce(proxy: ProxySet, file: str) -> str:
    """The lines that give the score of the most networks again; empty where there is none."""
    scores = proxy.provenance.get("scores", [])
    if not scores:
        return ""
    score = max(scores, key=lambda one: len(one["accuracies"]))
    protocol = f"proxyset.Evaluation({_code(_given(score['protocol']) | {'nets': len(score['accuracies'])})})"
    how = f"{protocol}, net={score['net']!r}, seed={score['seed']}"
    return f"""The score of `{clean_name(str(score["net"])).replace("`", "")}` again:

```python
import proxyset

proxy, data = proxyset.ProxySet.load({file!r}), proxyset.load({_load(proxy)})
print(proxyset.evaluate(proxy.data, data.test, proxy.spec, {how}))
```

"""


def _given(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """Those values of a protocol that its name does not imply."""
    name = protocol.get("protocol", PAPER)
    usual = Evaluation(protocol=name if name in VALUES else PAPER).model_dump() | {"protocol": PAPER}
    return {key: value for key, value in protocol.items() if key in usual and usual[key] != value}


def _load(proxy: ProxySet) -> str:
    """The arguments that load the real data again."""
    source = proxy.provenance.get("dataset", {})
    usual = DataChoice().form()
    form = {key: source[key] for key in Form.__annotations__ if key in source and source[key] != usual[key]}
    place = repr(str(source.get("source", f"PATH OF {clean_name(proxy.spec.name)}")))
    return ", ".join(filter(None, [place, _code(form)]))


def _code(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _public(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What made it, without what is said above."""
    return {name: value for name, value in facts.items() if name not in ("scores", "trace")}
