"""Networks that torchvision has not, for the peers here and in gpu/; networks.ts and LeNet.ts are their twins."""

import torch.nn.functional as F
from torch import nn


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.head = nn.Sequential(
            nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.head(x.flatten(1))


def generator(latent=100, features=64):
    layers, channels = [], latent
    for i, width in enumerate((8, 4, 2, 1)):
        stride, padding = (1, 0) if i == 0 else (2, 1)
        layers += [nn.ConvTranspose2d(channels, width * features, 4, stride, padding, bias=False),
                   nn.BatchNorm2d(width * features), nn.ReLU(True)]
        channels = width * features
    return nn.Sequential(*layers, nn.ConvTranspose2d(channels, 3, 4, 2, 1, bias=False), nn.Tanh())


def discriminator(features=64):
    layers, channels = [], 3
    for i, width in enumerate((1, 2, 4, 8)):
        layers.append(nn.Conv2d(channels, width * features, 4, 2, 1, bias=False))
        if i > 0:
            layers.append(nn.BatchNorm2d(width * features))
        layers.append(nn.LeakyReLU(0.2, inplace=True))
        channels = width * features
    return nn.Sequential(*layers, nn.Conv2d(channels, 1, 4, 1, 0, bias=False), nn.Flatten())
