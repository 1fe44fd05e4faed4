"""Every source of a ranking, made from a plan and its proxy sets."""

from collections.abc import Sequence

from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.spec import Dataset
from search.settings import RankingSettings
from search.sources.base import Source
from search.sources.free import JACOBIAN_IMAGES, JacobianCovariance, ParameterCount
from search.sources.halving import rungs_of
from search.sources.proxies import SourcePlan
from search.sources.trained import AGAIN, TRUTH, EarlyStop, ProxySource, WholeSet


def make_sources(
    plan: SourcePlan, proxies: Sequence[ProxySet], dataset: Dataset, settings: RankingSettings
) -> dict[str, Source]:
    """The sources by name, in the order of the tables; the truth comes last.

    Args:
        proxies: the sets of `plan.proxies`.
        settings: with nothing left open.
    """
    whole = len(dataset.train)
    trained = [
        ProxySource(
            planned.name,
            images=len(proxy.data),
            seconds=float(proxy.provenance.get("seconds", 0.0)),
            sha256=proxy.data.sha256(),
            file=str(planned.path or ""),
            tiles=proxy.data.formation**2,
        )
        for planned, proxy in zip(plan.proxies, proxies, strict=True)
    ]
    sources: list[Source] = []
    for source in trained:
        sources += [source] if settings.halving != "instead" else []
        sources += rungs_of(source) if settings.halving else []
    if plan.early_stop:
        size = trained[0].images_per_epoch() if trained else settings.ipc * dataset.spec.classes
        sources.append(EarlyStop.like(size, whole, settings))
    if settings.free:
        sources += [ParameterCount("params"), JacobianCovariance("jacobian", min(whole, JACOBIAN_IMAGES))]
    if plan.again:
        sources.append(WholeSet(AGAIN, whole))
    sources.append(WholeSet(TRUTH, whole))
    return {source.name: source for source in sources}
