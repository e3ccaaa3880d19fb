"""The cases of `repmlp-sweep bench` in PyTorch, with the same names and the same JSON lines.

    python pytorch.py plain|tuned|compiled train|infer [WORD] [--threads N] [--repeats N] [--device cuda [--tf32 | --bf16]]

`plain` follows the text of the paper literally. FC3 is a grouped 1x1 convolution on a 1x1 map. For inference, the
blocks are merged and nothing else is changed. `tuned` is the same networks, optimised for speed. FC3 is one batched
matrix product, and SGD is fused. Convolutional networks use `channels_last`; networks with the block do not, since it
does not make them faster. For inference, the network is traced, frozen (which folds batch norms into convolutions) and
passed to `optimize_for_inference`. Neither variant uses torch.compile. `compiled` is `tuned` with torch.compile instead
of the trace. On a GPU a time is that of ten steps until the GPU has done all, and products have 24 bits unless TF32 is
asked for.

This file is written only from the paper (arXiv 2105.01883). Merged blocks have random weights, since only the shapes
matter here.
"""

import argparse
import json
import statistics
import time
import warnings

import torch
import torch.nn.functional as F
from torch import nn

try:
    import torchvision
except ImportError:
    torchvision = None

WARMUP = 2


def conv_bn(inputs, outputs, kernel=1, groups=1):
    """Returns a convolution that keeps the map size, followed by batch norm."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class GroupedFc(nn.Module):
    """A grouped fully connected layer as a convolution on a 1x1 map. Maps rows (M, P) to (M, Q)."""

    def __init__(self, inputs, outputs, groups, bias):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, groups=groups, bias=bias)

    def forward(self, rows):
        return self.conv(rows[:, :, None, None])[:, :, 0, 0]


class BatchedFc(nn.Module):
    """A grouped fully connected layer as one batched product of g pairs of matrices."""

    def __init__(self, inputs, outputs, groups, bias):
        super().__init__()
        bound = (groups / inputs) ** 0.5
        self.weight = nn.Parameter(torch.empty(groups, inputs // groups, outputs // groups).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(groups, 1, outputs // groups).uniform_(-bound, bound)) if bias else None

    def forward(self, rows):
        by_group = rows.view(rows.shape[0], self.weight.shape[0], -1).transpose(0, 1)
        if self.bias is None:
            outputs = torch.bmm(by_group, self.weight)
        else:
            outputs = torch.baddbmm(self.bias, by_group, self.weight)
        return outputs.transpose(0, 1).reshape(rows.shape[0], -1)


class RepMlp(nn.Module):
    """The paper's block with C input and output channels on a square map (sections 3.1 and 3.2), in either form.

    Training form: global perceptron, then the sum of FC3 with batch norm and, for each K, a convolution with batch
    norm. Deployed form: only FC1, FC2 and FC3, with biases.
    """

    def __init__(self, channels, side, partition, groups, kernels, reduction, fc, deployed):
        super().__init__()
        self.channels, self.partition, self.count = channels, partition, side // partition
        numbers = channels * self.count**2
        if self.count > 1:
            self.global_norm = nn.Identity() if deployed else nn.BatchNorm2d(channels)
            self.fc1 = nn.Linear(numbers, numbers // reduction)
            self.fc2 = nn.Linear(numbers // reduction, numbers)
        width = channels * partition**2
        self.fc3 = fc(width, width, groups, bias=deployed)
        self.fc3_norm = nn.Identity() if deployed else nn.BatchNorm1d(width)
        branches = () if deployed else kernels
        self.local = nn.ModuleList(conv_bn(channels, channels, kernel, groups) for kernel in branches)

    def forward(self, x):
        c, p, n = self.channels, self.partition, self.count
        if n > 1:
            pooled = self.global_norm(F.avg_pool2d(x, p))
            shared = self.fc2(F.relu(self.fc1(pooled.flatten(1))))
            x = x.view(-1, c, n, p, n, p) + shared.view(-1, c, n, 1, n, 1)
        pieces = x.reshape(-1, c, n, p, n, p).permute(0, 2, 4, 1, 3, 5).reshape(-1, c, p, p)
        y = self.fc3_norm(self.fc3(pieces.flatten(1))).view(-1, c, p, p)
        for branch in self.local:
            y = y + branch(pieces)
        return y.view(-1, n, n, c, p, p).permute(0, 3, 1, 4, 2, 5).reshape(-1, c, n * p, n * p)


def cifar_net(widths, block):
    """Returns the network of section 4.1. `block(channels, side)` makes the blocks that mix pixels."""
    layers = [conv_bn(3, widths[0]), nn.ReLU(inplace=True)]
    for stage, width in enumerate(widths):
        side = 32 >> stage
        if stage > 0:
            layers.append(nn.MaxPool2d(2))
        for outputs in (width, widths[min(stage + 1, 2)]):
            layers += [block(width, side), nn.ReLU(inplace=True), conv_bn(width, outputs), nn.ReLU(inplace=True)]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[2], 512, bias=False), nn.BatchNorm1d(512)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True), nn.Linear(512, 10))


class RepMlpBottleneck(nn.Module):
    """The paper's bottleneck (Fig. 3): 1x1, 3x3 to m/r channels, RepMLP, 3x3 and 1x1, with a shortcut around them."""

    def __init__(self, width, reduction, rep_mlp):
        super().__init__()
        middle = width // 4
        inner = middle // reduction
        parts = [conv_bn(width, middle), conv_bn(middle, inner, 3), rep_mlp(inner), conv_bn(inner, middle, 3)]
        layers = [layer for part in parts for layer in (part, nn.ReLU(inplace=True))]
        self.body = nn.Sequential(*layers, conv_bn(middle, width))

    def forward(self, x):
        return F.relu(self.body(x) + x)


def repmlp_res50(fc, deployed):
    """Returns RepMLP-Res50 of section 4.2: in c3 and c4, all blocks except the first are RepMLP bottlenecks."""
    network = torchvision.models.resnet50(weights=None)
    for stage, width, side, reduction in ((network.layer2, 512, 28, 2), (network.layer3, 1024, 14, 4)):
        def rep_mlp(channels, side=side):
            return RepMlp(channels, side, 7, 8, (1, 3, 5), 1, fc, deployed)

        for place in range(1, len(stage)):
            stage[place] = RepMlpBottleneck(width, reduction, rep_mlp)
    return network


# Name -> (batch, shape of one input, classes or None for a block alone, function of (fc, deployed) that makes the
# network).
SUBJECTS = {
    "pure_mlp": (128, (3, 32, 32), 10, lambda fc, deployed: cifar_net(
        (16, 32, 64), lambda channels, side: RepMlp(channels, side, 8, 2, (1, 3, 5, 7), 1, fc, deployed))),
    "block_c128": (32, (128, 14, 14), None, lambda fc, deployed: RepMlp(128, 14, 7, 8, (1, 3, 5, 7), 4, fc, deployed)),
    "block_c64": (32, (64, 28, 28), None, lambda fc, deployed: RepMlp(64, 28, 7, 8, (1, 3, 5, 7), 4, fc, deployed)),
    "wide_convnet": (128, (3, 32, 32), 10, lambda fc, deployed: cifar_net(
        (32, 64, 128), lambda channels, side: conv_bn(channels, channels, 3))),
    "resnet50": (8, (3, 224, 224), 1000, lambda fc, deployed: torchvision.models.resnet50(weights=None)),
    "repmlp_res50": (8, (3, 224, 224), 1000, repmlp_res50),
}
CONVOLUTIONAL = {"wide_convnet", "resnet50"}
OF_TORCHVISION = {"resnet50", "repmlp_res50"}
# A GPU needs larger batches to be busy.
GPU_BATCHES = {"block_c128": 256, "block_c64": 256, "resnet50": 64, "repmlp_res50": 64}
GPU_STEPS = 10


def case_name(subject, suite):
    if suite == "infer":
        return f"{subject}_infer"
    return f"{subject}_forward_backward" if SUBJECTS[subject][2] is None else f"{subject}_train_step"


def is_gpu(device):
    return device.startswith("cuda")


def batch_size(subject, device):
    """Returns the number of images in a batch."""
    batch = SUBJECTS[subject][0]
    return GPU_BATCHES.get(subject, batch) if is_gpu(device) else batch


def prepared(subject, suite, way, device):
    """Returns a function that does the work of the case once."""
    _, size, classes, build = SUBJECTS[subject]
    tuned = way != "plain"
    torch.manual_seed(1)
    network = build(BatchedFc if tuned else GroupedFc, suite == "infer").to(device)
    x = torch.rand(batch_size(subject, device), *size, device=device) * 2 - 1
    if tuned and subject in CONVOLUTIONAL:
        network, x = network.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    if suite == "infer":
        return inference(network.eval(), x, way)
    network.train()
    if way == "compiled":
        network = torch.compile(network)
    return forward_backward(network, x) if classes is None else training_step(network, x, classes, tuned)


def inference(network, x, way):
    if way == "tuned":
        with torch.no_grad():
            network = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(network, x)))
    if way == "compiled":
        network = torch.compile(network)

    def work():
        with torch.inference_mode():
            network(x)

    return work


def forward_backward(network, x):
    x.requires_grad_()
    ones = torch.ones_like(x)

    def work():
        network.zero_grad(set_to_none=True)
        x.grad = None
        network(x).backward(ones)

    return work


def training_step(network, x, classes, tuned):
    labels = torch.arange(x.shape[0], device=x.device) % classes
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4, fused=tuned or None)

    def work():
        optimizer.zero_grad(set_to_none=True)
        logits = network(x)
        F.cross_entropy(logits, labels).backward()
        optimizer.step()
        # The trainer also counts correct predictions at every step.
        (logits.detach().argmax(1) == labels).sum()

    return work


def autocast(work, device):
    """Returns the same work with products of bf16. PyTorch advises against autocast in the backward pass; gradients get
    the types of the forward pass anyway."""

    def with_bf16():
        with torch.autocast(device.split(":")[0], dtype=torch.bfloat16):
            work()

    return with_bf16


def timed(work, device):
    """Returns the seconds of one piece of work."""
    steps = GPU_STEPS if is_gpu(device) else 1
    start = time.perf_counter()
    for _ in range(steps):
        work()
    if is_gpu(device):
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / steps


def peak_rss_mb():
    """Returns the peak memory of this process in 10^6 bytes, or None outside of Linux."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next((int(line.split()[1]) * 1024 / 1e6 for line in status if line.startswith("VmHWM:")), None)
    except OSError:
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=["plain", "tuned", "compiled"])
    parser.add_argument("suite", choices=["train", "infer"])
    parser.add_argument("word", nargs="?", help="the case of this name, or all whose name contains it")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--tf32", action="store_true", help="products on the GPU may round their inputs to 11 bits")
    parser.add_argument("--bf16", action="store_true", help="training steps under torch.autocast with bfloat16")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = arguments.tf32
    torch.backends.cudnn.benchmark = True
    # TorchScript still works, but warns at each call that it is deprecated.
    warnings.filterwarnings("ignore", category=FutureWarning)
    subjects = [subject for subject in SUBJECTS if torchvision or subject not in OF_TORCHVISION]
    names = {case_name(subject, arguments.suite): subject for subject in subjects}
    word = arguments.word or ""
    selected = [word] if word in names else [name for name in names if word in name]
    if not selected:
        parser.error(f"no case has a name that contains `{word}`; the cases are: {', '.join(names)}")
    for name in selected:
        work = None  # The memory of the case before.
        work = prepared(names[name], arguments.suite, arguments.way, arguments.device)
        if arguments.bf16:
            work = autocast(work, arguments.device)
        seconds = [timed(work, arguments.device) for _ in range(WARMUP + arguments.repeats)][WARMUP:]
        line = {
            "case": name, "way": arguments.way, "threads": arguments.threads,
            "batch": batch_size(names[name], arguments.device), "repeats": arguments.repeats,
            "median_s": statistics.median(seconds), "min_s": min(seconds),
        }
        if is_gpu(arguments.device):
            line |= {"tf32": arguments.tf32, "bf16": arguments.bf16, "most_bytes": torch.cuda.max_memory_allocated(arguments.device)}
            torch.cuda.reset_peak_memory_stats(arguments.device)
        elif len(selected) == 1:
            line["peak_rss_mb"] = peak_rss_mb()
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
