"""The same cases in PyTorch on a CUDA device: `peer.py CASE eager|compiled STEPS float32|tf32` prints one JSON line."""

import json
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.append(str(Path(__file__).resolve().parent.parent))
from networks import LeNet, discriminator, generator  # noqa: E402

name, mode, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.backends.cudnn.benchmark = True
# By default PyTorch rounds in convolutions and not in products.
torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = sys.argv[4:] == ["tf32"]
torch.manual_seed(0)
LAST = torch.channels_last


def prepared(model):
    model = model.cuda().to(memory_format=LAST)
    return torch.compile(model) if mode == "compiled" else model


def training(model, x, y, bf16):
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss
    return step


def resnet18():
    import torchvision
    model = prepared(torchvision.models.resnet18(num_classes=10))
    x = torch.randn(128, 3, 224, 224, device="cuda").to(memory_format=LAST)
    return training(model, x, torch.randint(10, (128,), device="cuda"), True)


def lenet():
    x = torch.randn(64, 3, 32, 32, device="cuda").to(memory_format=LAST)
    return training(prepared(LeNet()), x, torch.randint(10, (64,), device="cuda"), False)


def dcgan(batch):
    make, judge = prepared(generator()), prepared(discriminator())
    options = dict(lr=2e-4, betas=(0.5, 0.999))
    first, second = torch.optim.Adam(judge.parameters(), **options), torch.optim.Adam(make.parameters(), **options)
    real = torch.randn(batch, 3, 64, 64, device="cuda").to(memory_format=LAST)
    noise = torch.randn(batch, 100, 1, 1, device="cuda").to(memory_format=LAST)
    yes, no = torch.ones(batch, 1, device="cuda"), torch.zeros(batch, 1, device="cuda")
    loss = F.binary_cross_entropy_with_logits

    def step():
        fake = make(noise)
        first.zero_grad(set_to_none=True)
        critic = loss(judge(real), yes) + loss(judge(fake.detach()), no)
        critic.backward()
        first.step()
        second.zero_grad(set_to_none=True)
        total = loss(judge(fake), yes)
        total.backward()
        second.step()
        return critic.detach() + total.detach()
    return step


cases = {"resnet18": resnet18, "lenet": lenet, "dcgan16": lambda: dcgan(16), "dcgan128": lambda: dcgan(128)}
step = cases[name]()
times, value = [], 0.0
for i in range(-10, steps):
    start = time.perf_counter()
    value = step().item()
    torch.cuda.synchronize()
    if i >= 0:
        times.append((time.perf_counter() - start) * 1000)
print(json.dumps({"times": times, "loss": value, "torch": torch.__version__}))
