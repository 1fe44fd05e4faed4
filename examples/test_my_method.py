"""The promises of every method, checked for your own: pytest test_my_method.py."""

from my_method import Mean

from proxyset.testing import MethodConformance


class TestMean(MethodConformance):
    method = Mean(noise=0.2)
