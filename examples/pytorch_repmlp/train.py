"""Trains the pure MLP of the RepMLP paper (arXiv 2105.01883, section 4.1) in PyTorch, as one run of a sweep.

repmlp-sweep starts this script once for each run. Environment variables name the configuration, the seed and the
folders. The script writes its measurements to standard output, one JSON object per line. By hand:

    SWEEP_CONFIG=run.json SWEEP_SEED=0 SWEEP_ATTEMPT_DIR=/tmp/attempt python train.py

The configuration has the keys of repmlp-sweep's own trainer, and they mean the same. Only the random numbers differ:
one run differs from the same run of that trainer, but means over seeds can be compared. The network and its merge are
written only from the paper.
"""

import copy
import gzip
import hashlib
import json
import math
import os
import signal
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

DATA = Path(__file__).parent / "../../crates/repmlp-train/data"
CLASSES = 10
CHECKPOINT = "last.pt"

# Every key that this script reads, with its default. Another key or another `kind` is refused, so that no setting is
# silently ignored. Only `measure` has no effect: it is about throughput, which this script does not measure.
REQUIRED = object()
KEYS = {
    "data": {
        "source": {"kind": "fashion-mnist-5k"}, "image_size": REQUIRED, "validation": 0.0,
        "train_limit": None, "test_limit": None, "augment": {"crop_padding": 0, "flip": False},
    },
    "model": {
        "kind": "cifar-net", "widths": REQUIRED, "hidden": REQUIRED,
        "block": {
            "kind": "rep-mlp", "partition": REQUIRED, "groups": REQUIRED, "local_kernels": REQUIRED,
            "global_perceptron": {"kind": "fc", "reduction": 1}, "partition_perceptron": {"kind": "fc"},
        },
    },
    "training": {
        "epochs": REQUIRED, "batch": REQUIRED, "label_smoothing": 0.0,
        "optimizer": {
            "kind": "sgd", "learning_rate": REQUIRED, "momentum": REQUIRED, "nesterov": REQUIRED,
            "weight_decay": REQUIRED,
        },
        "schedule": {"kind": "cosine", "warmup_epochs": REQUIRED},
    },
    "measure": {"batch": None, "warmup": None, "repeats": None},
}


def refuse(message):
    """Ends the script, because it cannot do what the configuration asks for."""
    print(f"train.py: {message}", file=sys.stderr)
    sys.exit(2)


def completed(table, keys=KEYS, path=""):
    """Returns a table of the configuration with all defaults. Refuses what this script does not know."""
    if not isinstance(table, dict):
        refuse(f"{path.rstrip('.')} must be a table")
    if unknown := sorted(table.keys() - keys.keys()):
        refuse(f"{path}{unknown[0]} is not a key of this script; keys: {', '.join(keys)}")
    result = {}
    for key, default in keys.items():
        value = table.get(key, {} if isinstance(default, dict) else default)
        if isinstance(default, dict):
            value = completed(value, default, f"{path}{key}.")
        elif value is REQUIRED:
            refuse(f"{path}{key} is missing")
        elif key == "kind" and value != default:
            refuse(f"{path}kind is `{value}`, but this script knows only `{default}`")
        result[key] = value
    return result


def seed_of(*key):
    """Returns the seed for a purpose, such as an epoch. A resumed run draws the same numbers as an undisturbed one."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "little")


def read_idx(path):
    """Reads a gzipped IDX file (the format of MNIST). The fourth byte is the number of dimensions."""
    content = gzip.decompress(path.read_bytes())
    start = 4 + 4 * content[3]
    sizes = [int.from_bytes(content[at:at + 4], "big") for at in range(4, start, 4)]
    return torch.frombuffer(bytearray(content[start:]), dtype=torch.uint8).view(sizes)


class Data:
    """The splits of the data set. Each has normalised images (N, 1, size, size) and labels (N)."""

    def __init__(self, config, folder, seed):
        def read(part):
            images = read_idx(folder / f"{part}-images-idx3-ubyte.gz").unsqueeze(1).double()
            border = config["image_size"] - images.shape[-1]
            if border < 0 or config["image_size"] % 4 != 0:
                refuse("data.image_size must be a multiple of 4, and not smaller than the images")
            before, after = border // 2, border - border // 2
            return F.pad(images, [before, after, before, after]), read_idx(folder / f"{part}-labels-idx1-ubyte.gz")

        (images, labels), (test_images, test_labels) = read("train"), read("test")
        # Validation images and images beyond `train_limit` are counted, too.
        mean, deviation = images.mean(), images.std(correction=0).clamp(min=1)
        self.black = float(-mean / deviation)

        def split(images, labels):
            return ((images - mean) / deviation).float(), labels.long()

        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed_of(seed, "validation")))
        validation, train = order.tensor_split([int(len(order) * config["validation"] + 0.5)])
        train = train[:config["train_limit"]]
        self.train, self.validation = split(images[train], labels[train]), split(images[validation], labels[validation])
        self.test = split(test_images[:config["test_limit"]], test_labels[:config["test_limit"]])


def augmented(images, padding, flip, black, generator):
    """Moves each image by up to `padding` pixels in both directions, and mirrors it with probability 0.5."""
    count, _, _, size = images.shape
    down, right = torch.randint(2 * padding + 1, (2, count, 1, 1), generator=generator)
    mirrored = (torch.rand(count, 1, 1, generator=generator) < 0.5) & flip
    rows = down + torch.arange(size).unsqueeze(1)
    columns = right + torch.where(mirrored, torch.arange(size).flip(0), torch.arange(size))
    padded = F.pad(images, [padding] * 4, value=black)
    return padded[torch.arange(count).view(-1, 1, 1), 0, rows, columns].unsqueeze(1)


def scale_and_shift(norm):
    """Returns batch norm with its running statistics as y = scale·x + shift."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale, norm.bias - norm.running_mean * scale


class Normed(nn.Sequential):
    """A convolution or FC layer without a bias, followed by batch norm."""

    def deployed(self):
        """Returns one layer with a bias that computes the same (Eq. 16)."""
        layer, (scale, shift) = copy.deepcopy(self[0]), scale_and_shift(self[1])
        layer.weight.mul_(scale.view(-1, *[1] * (layer.weight.dim() - 1)))
        layer.bias = nn.Parameter(shift)
        return layer


def conv_bn(inputs, outputs, kernel=1, groups=1):
    """Returns a convolution that keeps the map size, followed by batch norm."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
    return Normed(conv, nn.BatchNorm2d(outputs))


class RepMlp(nn.Module):
    """The paper's block (section 3) on a square map.

    Training form: Global Perceptron, then the sum of FC3 with batch norm and, for each K, a convolution with batch
    norm. Deployed form: only FC1, FC2 and FC3, with biases. The Global Perceptron exists only if the map has more than
    one partition.
    """

    def __init__(self, channels, side, partition, groups, kernels, reduction):
        super().__init__()
        self.h, self.w = partition
        self.rows, self.columns = side // self.h, side // self.w
        numbers, width = channels * self.rows * self.columns, channels * self.h * self.w
        if side % self.h or side % self.w or numbers % reduction:
            refuse(f"partition {partition} or reduction {reduction} does not divide {channels} maps of {side}x{side}")
        if self.rows * self.columns > 1:
            self.norm = nn.BatchNorm2d(channels)
            self.fc1 = nn.Linear(numbers, numbers // reduction)
            self.fc2 = nn.Linear(numbers // reduction, numbers)
        # FC3 is a grouped convolution with kernel 1: its positions are the partitions, its channels are their pixels.
        self.fc3 = Normed(nn.Conv1d(width, width, 1, groups=groups, bias=False), nn.BatchNorm1d(width))
        self.local = nn.ModuleList(conv_bn(channels, channels, kernel, groups) for kernel in kernels)

    def forward(self, x):
        c, h, w, rows, columns = x.shape[1], self.h, self.w, self.rows, self.columns
        pieces = x.view(-1, c, rows, h, columns, w)
        if rows * columns > 1:
            means = self.norm(F.avg_pool2d(x, (h, w)))
            pieces = pieces + self.fc2(F.relu(self.fc1(means.flatten(1)))).view(-1, c, rows, 1, columns, 1)
        partitions = pieces.permute(0, 2, 4, 1, 3, 5).reshape(-1, c, h, w)
        y = self.fc3(partitions.flatten(1).t().unsqueeze(0)).squeeze(0).t().reshape(-1, c, h, w)
        for conv in self.local:
            y = y + conv(partitions)
        return y.view(-1, rows, columns, c, h, w).permute(0, 3, 1, 4, 2, 5).reshape(-1, c, rows * h, columns * w)

    def deployed(self):
        """Returns the deployed form (section 3.3): convolutions and batch norms are merged into FC1 and FC3."""
        block = copy.deepcopy(self)
        block.fc3, block.local = self.fc3.deployed(), nn.ModuleList()
        for conv in (branch.deployed() for branch in self.local):
            # The FC kernel of a convolution is its output for an identity matrix (Eq. 15). Each row of the matrix is an
            # image with the channels of one group. All groups get the same images.
            inputs = conv.weight.shape[1]
            images = torch.eye(inputs * self.h * self.w, dtype=conv.weight.dtype, device=conv.weight.device)
            images = images.view(-1, inputs, self.h, self.w).repeat(1, conv.groups, 1, 1)
            outputs = F.conv2d(images, conv.weight, padding=conv.padding, groups=conv.groups)
            block.fc3.weight += outputs.flatten(1).t().unsqueeze(2)
            block.fc3.bias += conv.bias.repeat_interleave(self.h * self.w)
        if self.rows * self.columns > 1:
            # A channel of the norm feeds as many neighbouring inputs of FC1 as there are partitions (appendix).
            scale, shift = (t.repeat_interleave(self.rows * self.columns) for t in scale_and_shift(self.norm))
            block.norm = nn.Identity()
            block.fc1.bias += self.fc1.weight @ shift
            block.fc1.weight *= scale
        return block


def pure_mlp(config, size):
    """Returns the training form of the network of section 4.1, for grey images."""
    widths, hidden, block = config["widths"], config["hidden"], config["block"]
    layers = [conv_bn(1, widths[0]), nn.ReLU()]
    for stage, width in enumerate(widths):
        if stage > 0:
            layers.append(nn.MaxPool2d(2))
        for outputs in (width, widths[min(stage + 1, 2)]):
            mlp = RepMlp(width, size >> stage, block["partition"], block["groups"], block["local_kernels"],
                         block["global_perceptron"]["reduction"])
            layers += [mlp, nn.ReLU(), conv_bn(width, outputs), nn.ReLU()]
    fc1 = Normed(nn.Linear(widths[2], hidden, bias=False), nn.BatchNorm1d(hidden))
    return nn.Sequential(*layers, nn.AvgPool2d(size >> 2), nn.Flatten(), fc1, nn.ReLU(), nn.Linear(hidden, CLASSES))


@torch.no_grad()
def deployed(network, images):
    """Returns the deployed form of a network. Fails unless both forms give the same outputs for these images.

    The merge and the check use 64-bit numbers. Their rounding errors are negligible.
    """
    trained = copy.deepcopy(network).double().eval()
    merged = nn.Sequential(*(layer.deployed() if hasattr(layer, "deployed") else layer for layer in trained))
    expected, found = trained(images.double()), merged(images.double())
    difference = float((expected - found).abs().max() / expected.abs().max())
    if not difference < 1e-9:
        raise ArithmeticError(f"the outputs of both forms differ by {difference:.1e} of the largest output")
    return merged.float()


def params(network):
    """Returns the number of weights and biases, with the running statistics of batch norm."""
    return sum(t.numel() for name, t in network.state_dict().items() if not name.endswith("num_batches_tracked"))


def learning_rate_share(step, steps, warmup):
    """Returns the learning rate of a step as a share of the highest one: linear warm-up, then half a cosine."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1)))


def train_epoch(epoch, network, optimizer, data, config, seed):
    """Trains an epoch, counted from 1. Returns mean loss and accuracy. An incomplete last batch is dropped."""
    (images, labels), training, augment = data.train, config["training"], config["data"]["augment"]
    batch, per_epoch = training["batch"], len(images) // training["batch"]
    warmup = int(training["schedule"]["warmup_epochs"] * per_epoch + 0.5)
    generator = torch.Generator().manual_seed(seed_of(seed, "epoch", epoch))
    order = torch.randperm(len(images), generator=generator)[:per_epoch * batch]
    device = next(network.parameters()).device
    sums = torch.zeros(2, dtype=torch.float64, device=device)
    network.train()
    for step, chosen in enumerate(order.split(batch), (epoch - 1) * per_epoch):
        share = learning_rate_share(step, training["epochs"] * per_epoch, warmup)
        optimizer.param_groups[0]["lr"] = training["optimizer"]["learning_rate"] * share
        x = augmented(images[chosen], augment["crop_padding"], augment["flip"], data.black, generator).to(device)
        y = labels[chosen].to(device)
        logits = network(x)
        loss = F.cross_entropy(logits, y, label_smoothing=training["label_smoothing"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        sums += torch.stack([loss.detach(), (logits.argmax(1) == y).sum()])
    loss, hits = sums.tolist()
    if not math.isfinite(loss):
        raise ArithmeticError(f"the training diverged in epoch {epoch}")
    return {"loss": loss / per_epoch, "accuracy": hits / len(order)}


@torch.no_grad()
def evaluate(network, split):
    """Returns mean loss and accuracy on a split."""
    network.eval()
    device, (images, labels) = next(network.parameters()).device, split
    logits = torch.cat([network(batch.to(device)).cpu() for batch in images.split(256)])
    hits = (logits.argmax(1) == labels).sum()
    return {"loss": float(F.cross_entropy(logits, labels)), "accuracy": int(hits) / len(labels)}


def report(**values):
    """Writes a line for repmlp-sweep. JSON has only finite numbers, so it fails for others."""
    print(json.dumps(values, allow_nan=False), flush=True)


def save(checkpoint, folder):
    """Writes a checkpoint. It gets its name when it is complete, so a file with this name is never half-written."""
    unfinished = folder / f"{CHECKPOINT}.tmp"
    torch.save(checkpoint, unfinished)
    unfinished.replace(folder / CHECKPOINT)
    report(checkpoint=CHECKPOINT)


def newest_checkpoint(folders, device):
    """Returns the first checkpoint that can be read, or None. The folders of the newest attempts come first."""
    for path in (Path(folder) / CHECKPOINT for folder in folders):
        if path.exists():
            try:
                return torch.load(path, map_location=device, weights_only=True)
            except Exception as fault:  # damaged files cause many kinds of exceptions
                report(notice=f"{path} cannot be read: {fault}")
    return None


def main():
    # SIGTERM needs no checkpoint of its own: the newest one is that of the last finished epoch.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    environment = os.environ
    config = completed(json.loads(Path(environment["SWEEP_CONFIG"]).read_text()))
    seed, folder = int(environment["SWEEP_SEED"]), Path(environment["SWEEP_ATTEMPT_DIR"])
    resume_from = [earlier for earlier in environment.get("SWEEP_RESUME_DIRS", "").split(":") if earlier]
    device = torch.device(environment.get("SWEEP_DEVICE", "cpu"))
    torch.set_num_threads(int(environment.get("SWEEP_THREADS", "1")))
    # A repeated run gives the same numbers, also on a GPU. cuBLAS needs the variable for this. PyTorch warns where it
    # has no such method.
    environment.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)

    training, sgd = config["training"], config["training"]["optimizer"]
    data = Data(config["data"], Path(environment.get("SWEEP_DATA") or DATA) / "fashion-mnist-5k", seed)
    if len(data.train[0]) < training["batch"]:
        refuse(f"{len(data.train[0])} training images do not fill one batch of {training['batch']}")
    torch.manual_seed(seed_of(seed, "init"))
    network = pure_mlp(config["model"], config["data"]["image_size"]).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=sgd["learning_rate"], momentum=sgd["momentum"],
                                nesterov=sgd["nesterov"], weight_decay=sgd["weight_decay"])
    report(epochs=training["epochs"])

    done = 0
    if checkpoint := newest_checkpoint(resume_from, device):
        network.load_state_dict(checkpoint["network"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        done = checkpoint["epoch"]

    for epoch in range(done + 1, training["epochs"] + 1):
        started = time.perf_counter()
        results = train_epoch(epoch, network, optimizer, data, config, seed)
        report(epoch=epoch, form="training", train_time=time.perf_counter() - started)
        report(epoch=epoch, form="training", split="train", **results)
        for name, split in (("validation", data.validation), ("test", data.test)):
            if len(split[0]) > 0:
                report(epoch=epoch, form="training", split=name, **evaluate(network, split))
        save({"network": network.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}, folder)

    merged = deployed(network, data.test[0][:32].to(device))
    report(epoch=training["epochs"], split="test", form="deployed", **evaluate(merged, data.test))
    report(params=params(network), form="training")
    report(params=params(merged), form="deployed")


if __name__ == "__main__":
    main()
