"""torchvision's side of accuracy.ts. Usage: python3 accuracyPeer.py WEIGHTS DIR"""

import sys

import torch
from torchvision import datasets, models, transforms as T

weights, folder = sys.argv[1:]
transform = T.Compose([
    T.Resize((64, 64)),
    T.ToTensor(),
    T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
])
data = datasets.ImageFolder(f"{folder}/test", transform)
chosen = torch.utils.data.Subset(data, range(0, len(data), 5))
model = models.resnet18(num_classes=10)
model.load_state_dict(torch.load(weights, map_location="cpu"))
model.eval()
right = 0
with torch.no_grad():
    for x, y in torch.utils.data.DataLoader(chosen, batch_size=50):
        right += (model(x).argmax(1) == y).sum().item()
print(f"torchvision: {100 * right / len(chosen):.2f} % of {len(chosen)} pictures")
