"""Training on a proxy set in a plain PyTorch loop, and testing on real images."""

import torch
from torch.nn import functional as F

import proxyset
from proxyset.data import augment
from proxyset.data.spec import normalise

real = proxyset.load("digits")
proxy = proxyset.build(real, "random", ipc=10)  # or "dm", "dsa", ...; or proxyset.ProxySet.load(file)
train = proxy.data.unfold()  # every tile of a formation at full size, normalised
test = normalise(real.test.images, proxy.spec)

generator = torch.Generator().manual_seed(0)
net = proxyset.build_net("convnet-w32", **proxy.spec.shape, generator=generator)
optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
operations = augment.operations("color_crop_cutout_flip_scale_rotate", proxy.spec.flip)
for _ in range(100):  # the paper: 1,000
    images = augment.apply(augment.draw(operations, generator, len(train.images)), train.images)
    optimiser.zero_grad()
    F.cross_entropy(net(images), train.answers).backward()  # labels, or probabilities where targets are soft
    optimiser.step()
with torch.no_grad():
    right = net.eval()(test).argmax(1) == real.test.labels
print(f"{right.float().mean():.1%} of the real test images are classified correctly")
