"""A trained network in PyTorch. DESCRIPTION holds its layers and names the run that it comes from.

The weights are in a safetensors file beside this file. The file needs torch and safetensors.

    from NAME import load, prepare       # NAME is the name of this file, without .py
    outputs = load()(prepare(images))    # images: uint8, (N, C, H, W)

The training form has batch norm and parallel branches, and can be trained further after `load().train()`. The deployed
form computes the same with fewer layers. Neither form has dropout or auxiliary heads. If test images are beside this
file, `python NAME.py` evaluates them.
"""

from __future__ import annotations

import json
import math
import sys
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

DESCRIPTION = json.loads(r"""@DESCRIPTION@""")
CLASSES: list[str] | None = DESCRIPTION["classes"]


def is_deployed() -> bool:
    """Whether batch norm and parallel branches are merged into neighbouring layers."""
    return DESCRIPTION["form"] == "deployed"


def batch_norm(channels: int) -> nn.Module:
    """Batch norm next to a layer. In the deployed form it is merged into that layer, and nothing is left to do."""
    if is_deployed():
        return nn.Identity()
    return nn.BatchNorm2d(channels, eps=DESCRIPTION["batch_norm_eps"])


def sequence(**modules: nn.Module) -> nn.Sequential:
    """Modules that are applied one after another, with these names."""
    return nn.Sequential(OrderedDict(modules))


# Layers. Every layer reads and returns maps, (N, C, H, W). An FC layer works on maps of one pixel.


class ConvBn(nn.Module):
    """Convolution and batch norm. In the deployed form, it is a convolution with a bias."""

    def __init__(self, inputs: int, outputs: int, kernel: int, **sizes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, bias=is_deployed(), **sizes)
        self.bn = batch_norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class FullyConnected(nn.Linear):
    """FC layer on a map of one pixel."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1))[:, :, None, None]


class ScaleAndShift(nn.Module):
    """Deployed form of a batch norm that no neighbouring layer can absorb."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale[:, None, None] + self.shift[:, None, None]


# Blocks. `layer` is the block's part of the description.


class RepMlp(nn.Module):
    """The RepMLP block. It cuts the map into partitions, mixes the pixels of each, and joins them again."""

    def __init__(self, layer: dict) -> None:
        super().__init__()
        inputs, outputs, groups = layer["inputs"], layer["outputs"], layer["groups"]
        self.outputs, self.h, self.w, self.map = outputs, layer["h"], layer["w"], layer["map"]
        partitions = math.ceil(self.map[0] / self.h) * math.ceil(self.map[1] / self.w)
        # Global Perceptron: connects the partitions.
        self.has_global = layer["hidden"] is not None
        if self.has_global:
            n, hidden = inputs * partitions, layer["hidden"]
            self.avg = sequence(pool=nn.AvgPool2d((self.h, self.w)), bn=batch_norm(inputs))
            self.fc1_fc2 = sequence(fc1=nn.Linear(n, hidden), relu=nn.ReLU(), fc2=nn.Linear(hidden, n))
        # Partition Perceptron: FC3, as a 1x1 convolution whose channels are the pixels of a partition.
        self.has_fc3 = layer["kernel"] is None
        if self.has_fc3:
            rows, columns = outputs * self.h * self.w, inputs * self.h * self.w
            self.fc3 = nn.Conv2d(columns, rows, 1, groups=groups, bias=is_deployed())
            self.fc3_bn = batch_norm(rows)
        else:
            k = layer["kernel"]
            self.fc3_conv = ConvBn(inputs, outputs, k, padding=k // 2, groups=groups)
        # Local Perceptron: merged into FC3 in the deployed form.
        self.local = [] if is_deployed() else [f"repconv{k}" for k in layer["local_kernels"]]
        for name, k in zip(self.local, layer["local_kernels"]):
            self.add_module(name, ConvBn(inputs, outputs, k, padding=k // 2, groups=groups))

    def forward(self, x: Tensor) -> Tensor:
        h, w, (height, width) = self.h, self.w, self.map
        # Zeros at the bottom and right fill the last partitions.
        x = F.pad(x, (0, -width % w, 0, -height % h))
        n, channels, rows, columns = x.shape[0], x.shape[1], x.shape[2] // h, x.shape[3] // w
        parts = x.reshape(n, channels, rows, h, columns, w)
        if self.has_global:
            # One number for each channel and partition, added to all pixels of the partition.
            parts = parts + self.fc1_fc2(self.avg(x).flatten(1)).reshape(n, channels, rows, 1, columns, 1)
        # Each partition becomes an image of its own.
        parts = parts.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, h, w)
        if self.has_fc3:
            y = self.fc3_bn(self.fc3(parts.flatten(1)[:, :, None, None])).reshape(-1, self.outputs, h, w)
        else:
            y = self.fc3_conv(parts)
        for name in self.local:
            y = y + self.get_submodule(name)(parts)
        y = y.reshape(n, rows, columns, self.outputs, h, w).permute(0, 3, 1, 4, 2, 5)
        return y.reshape(n, self.outputs, rows * h, columns * w)[:, :, :height, :width]


class GlobalContext(nn.Module):
    """The global context block: adds to every pixel what an MLP computes from a weighted mean of all pixels."""

    def __init__(self, layer: dict) -> None:
        super().__init__()
        channels, inner = layer["channels"], layer["inner"]
        self.conv_attn = nn.Conv2d(channels, 1, 1)
        self.mlp_add = nn.ModuleDict({
            "fc1": nn.Conv2d(channels, inner, 1),
            "norm": nn.LayerNorm(inner, eps=layer["layer_norm_eps"]),
            "fc2": nn.Conv2d(inner, channels, 1),
        })

    def forward(self, x: Tensor) -> Tensor:
        weights = self.conv_attn(x).flatten(2).softmax(2)
        mean = (x.flatten(2) * weights).sum(2)[:, :, None, None]
        hidden = self.mlp_add["norm"](self.mlp_add["fc1"](mean).flatten(1))[:, :, None, None]
        return x + self.mlp_add["fc2"](hidden.relu())


class NonLocal(nn.Module):
    """The non-local block: adds to every pixel a mean of all pixels, weighted by their similarity."""

    def __init__(self, layer: dict) -> None:
        super().__init__()
        channels, inner = layer["channels"], layer["inner"]
        self.scale = layer["scale"]
        self.t, self.p, self.g = (nn.Conv2d(channels, inner, 1) for _ in range(3))
        self.z = nn.Conv2d(inner, channels, 1)
        self.norm = batch_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        queries, keys, values = self.t(x).flatten(2), self.p(x).flatten(2), self.g(x).flatten(2)
        weights = (queries.transpose(1, 2) @ keys * self.scale).softmax(2)
        y = (weights @ values.transpose(1, 2)).transpose(1, 2).reshape(n, -1, height, width)
        return x + self.norm(self.z(y))


class SelfAttention(nn.Module):
    """Multi-head self-attention with relative positions, and batch norm after it."""

    def __init__(self, layer: dict) -> None:
        super().__init__()
        self.heads, self.d, self.e = layer["heads"], layer["head_dim_qk"], layer["head_dim_v"]
        height, width = layer["map"]
        self.qkv = nn.Conv2d(layer["channels"], self.heads * (2 * self.d + self.e), 1, bias=False)
        # One embedding for each distance between two rows or columns, from -(size - 1) to size - 1.
        self.pos_embed = nn.ParameterDict({
            "height_rel": nn.Parameter(torch.zeros(2 * height - 1, self.d)),
            "width_rel": nn.Parameter(torch.zeros(2 * width - 1, self.d)),
        })
        # In the deployed form, the scale of the norm is part of the values. Only its shift is left.
        if is_deployed():
            self.shift = nn.Parameter(torch.zeros(self.heads * self.e))
        else:
            self.norm = batch_norm(self.heads * self.e)

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        heads, d, e = self.heads, self.d, self.e
        q, k, v = self.qkv(x).split([heads * d, heads * d, heads * e], dim=1)
        # (N, head, channel, pixel)
        q, k, v = q.reshape(n, heads, d, -1), k.reshape(n, heads, d, -1), v.reshape(n, heads, e, -1)
        scores = q.transpose(2, 3) @ k / math.sqrt(d) + self.position_scores(q.unflatten(3, (height, width)))
        y = (scores.softmax(3) @ v.transpose(2, 3)).transpose(2, 3).reshape(n, heads * e, height, width)
        return y + self.shift[:, None, None] if is_deployed() else self.norm(y)

    def position_scores(self, q: Tensor) -> Tensor:
        """Scores of each pixel for each other pixel: one for its row and one for its column. They are not scaled."""
        def embeddings(table: Tensor, size: int) -> Tensor:
            """Embeddings of the distances between places: (from, to, channel)."""
            place = torch.arange(size, device=table.device)
            return table[place[None, :] - place[:, None] + size - 1]

        rows = embeddings(self.pos_embed["height_rel"], q.shape[3])
        columns = embeddings(self.pos_embed["width_rel"], q.shape[4])
        of_rows, of_columns = torch.einsum("ncdyx,yzd->ncyxz", q, rows), torch.einsum("ncdyx,xzd->ncyxz", q, columns)
        return (of_rows[..., :, None] + of_columns[..., None, :]).flatten(4).flatten(2, 3)


class ShareSetMlp(nn.Module):
    """The block of RepMLPNet. Channel c belongs to share-set c mod S; the channels of a set share one FC3."""

    def __init__(self, layer: dict) -> None:
        super().__init__()
        channels, hidden, (height, width) = layer["channels"], layer["hidden"], layer["map"]
        self.sets = sets = layer["share_sets"]
        rows = sets * height * width
        self.gp = sequence(
            pool=nn.AdaptiveAvgPool2d(1),
            fc1=nn.Conv2d(channels, hidden, 1), relu=nn.ReLU(),
            fc2=nn.Conv2d(hidden, channels, 1), sigmoid=nn.Sigmoid(),
        )
        self.fc3 = nn.Conv2d(rows, rows, 1, groups=sets, bias=is_deployed())
        self.fc3_bn = batch_norm(sets)
        self.local = [] if is_deployed() else [f"repconv{k}" for k in layer["local_kernels"]]
        for name, k in zip(self.local, layer["local_kernels"]):
            self.add_module(name, ConvBn(sets, sets, k, padding=k // 2, groups=sets))

    def forward(self, x: Tensor) -> Tensor:
        # (N·C/S, S, H, W): the maps of a set become images.
        maps = x.reshape(-1, self.sets, *x.shape[2:])
        y = self.fc3_bn(self.fc3(maps.flatten(1)[:, :, None, None]).reshape(maps.shape))
        for name in self.local:
            y = y + self.get_submodule(name)(maps)
        return y.reshape(x.shape) * self.gp(x)


# The network.


def build(layer: dict) -> nn.Module | dict[str, nn.Module]:
    """Builds a layer: one module without weights, or modules with weights in the order of the forward pass.

    Each module with weights comes with the name that it adds to the name of the layer.
    """
    of = SimpleNamespace(**layer)
    return {
        "conv-bn": lambda: {"": ConvBn(
            of.inputs, of.outputs, of.kernel,
            stride=of.stride, padding=of.padding, dilation=of.dilation, groups=of.groups,
        )},
        "pointwise": lambda: {"": nn.Conv2d(of.inputs, of.outputs, 1)},
        "linear": lambda: {"": FullyConnected(of.inputs, of.outputs)},
        "linear-bn": lambda: {
            of.fc: FullyConnected(of.inputs, of.outputs, bias=is_deployed()), of.bn: batch_norm(of.outputs),
        },
        "norm-conv-bn": lambda: {of.norm: batch_norm(of.inputs), of.conv_bn: ConvBn(of.inputs, of.outputs, 1)},
        "norm": lambda: {"": ScaleAndShift(of.channels) if is_deployed() else batch_norm(of.channels)},
        "p-relu": lambda: {"": nn.PReLU(of.channels)},
        "rep-mlp": lambda: {"": RepMlp(layer)},
        "global-context": lambda: {"": GlobalContext(layer)},
        "non-local": lambda: {"": NonLocal(layer)},
        "self-attention": lambda: {"": SelfAttention(layer)},
        "share-set-mlp": lambda: {"": ShareSetMlp(layer)},
        "activation": lambda: {
            "relu": nn.ReLU(), "silu": nn.SiLU(), "gelu": nn.GELU(), "sigmoid": nn.Sigmoid(),
        }[of.function],
        "max-pool": lambda: nn.MaxPool2d(of.kernel, of.stride, of.padding),
        "average-pool": lambda: nn.AvgPool2d(of.kernel),
        "global-average": lambda: nn.AdaptiveAvgPool2d(1),
        "adaptive-average": lambda: nn.AdaptiveAvgPool2d(of.bins),
        "resize": lambda: nn.Upsample((of.height, of.width), mode="bilinear", align_corners=True),
        "flatten": lambda: sequence(flat=nn.Flatten(), map=nn.Unflatten(1, (-1, 1, 1))),
    }[of.layer]()


class Network(nn.Module):
    """The network of DESCRIPTION. Every module with weights has the name that the weights have in their file."""

    def __init__(self) -> None:
        super().__init__()
        self._plan = self._build(DESCRIPTION["network"], "")

    def _build(self, node: dict, name: str) -> tuple | str | nn.Module:
        """Plan of a node: a join and its parts, the name of a module with weights, or a module without weights."""
        if "join" in node:
            return node["join"], [self._build(part["node"], joined(name, part["name"])) for part in node["parts"]]
        built = build(node)
        if isinstance(built, nn.Module):
            return built
        for own, module in built.items():
            self._place(joined(name, own), module)
        return "chain", [joined(name, own) for own in built]

    def _place(self, name: str, module: nn.Module) -> None:
        """Makes `module` the submodule of this dotted name."""
        *path, last = name.split(".")
        parent: nn.Module = self
        for step in path:
            if step not in dict(parent.named_children()):
                parent.add_module(step, nn.Module())
            parent = parent.get_submodule(step)
        if last in dict(parent.named_children()):
            raise ValueError(f"the name `{name}` is already taken")
        parent.add_module(last, module)

    def _run(self, plan: tuple | str | nn.Module, x: Tensor) -> Tensor:
        if isinstance(plan, str):
            return self.get_submodule(plan)(x)
        if isinstance(plan, nn.Module):
            return plan(x)
        join, parts = plan
        if join == "chain":
            for part in parts:
                x = self._run(part, x)
            return x
        first, *others = [self._run(part, x) for part in parts]
        if join == "concat":
            return torch.cat([first, *others], dim=1)
        for other in others:
            # In a product, a map of one pixel is multiplied with every pixel.
            first = first + other if join == "sum" else first * other
        return first

    def forward(self, x: Tensor) -> Tensor:
        """Prepared images (N, C, H, W) → logits or embeddings (N, outputs), or a map of logits (N, classes, H, W)."""
        size = tuple(DESCRIPTION["input"][key] for key in ("channels", "height", "width"))
        if x.shape[1:] != size:
            raise ValueError(f"images of {tuple(x.shape[1:])}; the network is built for {size}")
        y = self._run(self._plan, x)
        return y if DESCRIPTION["answer"] == "map" else y.flatten(1)


def joined(name: str, more: str) -> str:
    """Joins two names with a dot. An empty name adds nothing."""
    return f"{name}.{more}" if name and more else name or more


def beside(name: str) -> Path:
    """The file of this name in the folder of this file."""
    return Path(__file__).with_name(name)


def load(weights: str | Path | None = None) -> Network:
    """Builds the network and loads its weights, by default from the file beside this one. Returns it in eval mode."""
    network = Network()
    # Strict: PyTorch reports every tensor that is missing, unexpected, or of another shape. Only the counters of batch
    # norm may be missing. They have no effect on outputs.
    network.load_state_dict(load_file(weights or beside(DESCRIPTION["weights"])))
    return network.eval()


def prepare(images: Tensor) -> Tensor:
    """Normalises images: uint8, (N, C, H, W) → float32."""
    if images.dtype != torch.uint8 or images.dim() != 4:
        raise TypeError(f"images are uint8 (N, C, H, W) with pixels from 0 to 255, not {images.dtype} {images.shape}")
    mean, deviation = (images.new_tensor(DESCRIPTION[key], dtype=torch.float32) for key in ("mean", "deviation"))
    return (images.float() - mean[:, None, None]) / deviation[:, None, None]


def evaluate(tests: dict[str, Tensor]) -> bool:
    """Prints the test accuracy. Returns whether accuracy and predictions are those that the run recorded."""
    labels = tests["labels"].long()
    network = load()
    with torch.inference_mode():
        found = torch.cat([network(prepare(batch)).argmax(1) for batch in tests["images"].split(256)])
    count, hits = len(labels), int((found == labels).sum())
    text, others = f"test accuracy {hits / count:.4f}", 0
    if "accuracy" in DESCRIPTION["recorded"]:
        accuracy = DESCRIPTION["recorded"]["accuracy"]
        text += f" (recorded {accuracy:.4f})"
        others = abs(hits - round(accuracy * count))
    if "predicted" in tests:
        agreeing = int((found == tests["predicted"].long()).sum())
        text += f", {agreeing} of {count} predictions as recorded"
        others = max(others, count - agreeing)
    print(text)
    allowed = math.ceil(count * 2 / 10_000)
    if others:
        print(f"images that differ: {others}; allowed: {allowed}, because rounding can decide between near ties")
    return others <= allowed


def main() -> int:
    """Evaluates the test images if they are beside this file. Otherwise it says how to use the file."""
    images = DESCRIPTION["images"] and beside(DESCRIPTION["images"])
    if images and images.exists():
        return 0 if evaluate(load_file(images)) else 1
    size = DESCRIPTION["input"]
    print(f"{DESCRIPTION['run']} ({DESCRIPTION['program']}), {DESCRIPTION['form']} form")
    print(f"input: uint8 images, (N, {size['channels']}, {size['height']}, {size['width']})")
    if CLASSES:
        print(f"classes: {', '.join(CLASSES)}")
    print(f"use: from {Path(__file__).stem} import load, prepare; outputs = load()(prepare(images))")
    return 0


if __name__ == "__main__":
    sys.exit(main())
