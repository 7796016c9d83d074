"""The same cases in PyTorch: runs one and prints one JSON line. Usage: python3 peer.py CASE STEPS contiguous|channels_last"""

import json
import resource
import sys
import time

import torch
import torch.nn.functional as F
from networks import LeNet, discriminator, generator
from torch import nn


def formatted(value):
    return value.to(memory_format=FORMAT)


def training(model, optimizer, loss_of_batch):
    model.train()

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of_batch()
        loss.backward()
        optimizer.step()
        return loss.item()
    return step


def resnet(batch, size, inference=False, bf16=False):
    import torchvision

    def precision():
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16)
    torch.manual_seed(0)
    model = formatted(torchvision.models.resnet18(num_classes=10))
    x, y = formatted(torch.randn(batch, 3, size, size)), torch.randint(10, (batch,))
    if inference:
        model.eval()

        def step():
            with torch.inference_mode(), precision():
                return model(x).float().square().sum().item()
        return step
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def loss():
        with precision():
            return F.cross_entropy(model(x), y)
    return training(model, optimizer, loss)


def lenet(batch):
    torch.manual_seed(0)
    model = formatted(LeNet())
    x, y = formatted(torch.randn(batch, 3, 32, 32)), torch.randint(10, (batch,))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    return training(model, optimizer, lambda: F.cross_entropy(model(x), y))


def mlp(batch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(80, 10), nn.ReLU(), nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 1))
    x, y = torch.randn(batch, 80), torch.randn(batch, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)
    return training(model, optimizer, lambda: F.mse_loss(model(x), y))


def dcgan(batch):
    torch.manual_seed(0)
    make, judge = formatted(generator()), formatted(discriminator())
    options = dict(lr=2e-4, betas=(0.5, 0.999))
    first, second = torch.optim.Adam(judge.parameters(), **options), torch.optim.Adam(make.parameters(), **options)
    real = formatted(torch.randn(batch, 3, 64, 64))
    yes, no = torch.ones(batch, 1), torch.zeros(batch, 1)
    loss = F.binary_cross_entropy_with_logits

    def step():
        fake = make(formatted(torch.randn(batch, 100, 1, 1)))
        first.zero_grad(set_to_none=True)
        critic_loss = loss(judge(real), yes) + loss(judge(fake.detach()), no)
        critic_loss.backward()
        first.step()
        second.zero_grad(set_to_none=True)
        generator_loss = loss(judge(fake), yes)
        generator_loss.backward()
        second.step()
        return critic_loss.item() + generator_loss.item()
    return step


def overhead(body, shape, requires_grad):
    a, b = torch.randn(shape, requires_grad=requires_grad), torch.randn(shape)

    def step():
        for _ in range(1000):
            body(a, b)
        return 0
    step.ops = 1000
    return step


CASES = {
    "overhead: a + b, 4 elements": lambda: overhead(lambda a, b: a + b, [4], False),
    "overhead: a + b, with gradient": lambda: overhead(lambda a, b: a + b, [4], True),
    "overhead: 2 x 2 matrix product": lambda: overhead(lambda a, b: a @ b, [2, 2], False),
    "MLP 80-10-5-1, Adam, batch 4": lambda: mlp(4),
    "MLP 80-10-5-1, Adam, batch 1024": lambda: mlp(1024),
    "LeNet, SGD, batch 4": lambda: lenet(4),
    "LeNet, SGD, batch 64": lambda: lenet(64),
    "LeNet, SGD, batch 512": lambda: lenet(512),
    "DCGAN step, batch 16, 64 px": lambda: dcgan(16),
    "DCGAN step, batch 128, 64 px": lambda: dcgan(128),
    "ResNet18 training, 16 x 64 px": lambda: resnet(16, 64),
    "ResNet18 training, 8 x 224 px": lambda: resnet(8, 224),
    "ResNet18 training, 32 x 224 px": lambda: resnet(32, 224),
    "ResNet18 training, bf16, 16 x 64 px": lambda: resnet(16, 64, bf16=True),
    "ResNet18 training, bf16, 8 x 224 px": lambda: resnet(8, 224, bf16=True),
    "ResNet18 training, bf16, 32 x 224 px": lambda: resnet(32, 224, bf16=True),
    "ResNet18 inference, 16 x 64 px": lambda: resnet(16, 64, inference=True),
    "ResNet18 inference, 8 x 224 px": lambda: resnet(8, 224, inference=True),
    "ResNet18 inference, bf16, 16 x 64 px": lambda: resnet(16, 64, inference=True, bf16=True),
    "ResNet18 inference, bf16, 8 x 224 px": lambda: resnet(8, 224, inference=True, bf16=True),
}

name, steps, layout, threads = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
FORMAT = torch.channels_last if layout == "channels_last" else torch.contiguous_format
torch.set_num_threads(threads)
step = CASES[name]()
times, loss = [], 0.0
for i in range(-max(2, -(-steps // 3)), steps):
    start = time.perf_counter()
    loss = step()
    if i >= 0:
        times.append((time.perf_counter() - start) * 1000 / getattr(step, "ops", 1))
print(json.dumps({"times": times, "loss": loss, "torch": torch.__version__,
                  "peakMegabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
