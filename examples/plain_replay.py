"""Rehearsal in a plain PyTorch loop: about half of each minibatch stand in for the earlier task."""

import torch
from torch.nn import functional as F

import continual
import proxyset
from proxyset.data.spec import normalise

first, second = continual.load_stream(continual.StreamChoice(steps=2)).tasks  # five digits each
memory = proxyset.build(first.data, "random", ipc=10).data  # or "dm", "dsa", ...; or proxyset.ProxySet.load(file).data
images = torch.cat([normalise(second.data.train.images, second.data.spec), memory.unfold().images])
labels = torch.cat([second.relabel(second.data.train.labels), first.relabel(memory.unfold().labels)])
remembered = torch.arange(len(labels)) >= len(second.data.train)  # a mask, should the loss need one
shares = torch.where(remembered, 1 / remembered.sum(), 1 / (~remembered).sum())

generator = torch.Generator().manual_seed(0)
net = proxyset.build_net("convnet-w32", channels=1, size=8, classes=10, generator=generator)
optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
for _ in range(20):
    batch = shares.multinomial(64, replacement=True, generator=generator)
    optimiser.zero_grad()
    F.cross_entropy(net(images[batch]), labels[batch]).backward()
    optimiser.step()
