"""Proxy sets as the rehearsal buffer of Avalanche 0.6 (https://avalanche.continualai.org)."""

from avalanche.benchmarks.utils import as_taskaware_classification_dataset
from avalanche.training.plugins import ReplayPlugin
from avalanche.training.storage_policy import ExemplarsBuffer

from proxyset import ProxyDataset, ProxySet


class ProxyBuffer(ExemplarsBuffer):
    """After experience i it adds the images of the i-th file."""

    def __init__(self, files, max_size):
        super().__init__(max_size)
        self.files = iter(files)

    def resize(self, strategy, new_size):
        self.max_size = new_size

    def post_adapt(self, agent, exp):
        proxy = ProxyDataset(ProxySet.load(next(self.files)))
        self.buffer = self.buffer.concat(as_taskaware_classification_dataset(proxy))


plugins = [ReplayPlugin(mem_size=300, storage_policy=ProxyBuffer(["mnist.safetensors", "usps.safetensors"], 300))]
