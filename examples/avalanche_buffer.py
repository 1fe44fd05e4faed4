"""A condensed memory in Avalanche 0.6 (https://avalanche.continualai.org): pip install 'proxyset[avalanche]'."""

import torch

import continual
from continual.avalanche import ProxyBuffer, benchmark_of  # before Avalanche itself
from proxyset import build_net

from avalanche.models import IncrementalClassifier  # isort: skip
from avalanche.training.plugins import ReplayPlugin  # isort: skip
from avalanche.training.supervised import Naive  # isort: skip

benchmark = benchmark_of(continual.load_stream())  # the embedded digits, two classes at a time; any benchmark will do
net = build_net("convnet-w32-d2", channels=1, size=8, classes=2, generator=torch.Generator().manual_seed(0))
net.classifier = IncrementalClassifier(net.classifier.in_features, 2, masking=False)  # grows with the classes
buffer = ProxyBuffer(100, "dm iterations=50", net="convnet-w32-d2")
learner = Naive(
    model=net,
    optimizer=torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9),
    train_mb_size=64,
    train_epochs=5,
    eval_mb_size=256,
    plugins=[ReplayPlugin(mem_size=100, storage_policy=buffer)],
)
for experience in benchmark.train_stream:
    learner.train(experience)
results = learner.eval(benchmark.test_stream)
print({name: round(value, 3) for name, value in results.items() if name.startswith("Top1_Acc_Stream")})
