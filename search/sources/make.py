"""Every source of a ranking, made from a plan and its proxy sets."""

from collections.abc import Sequence

from proxyset.artefact.proxy_set import ProxySet
from proxyset.data.spec import Dataset
from search.settings import RankingSettings
from search.sources.base import Scope, Source
from search.sources.halving import rungs_of
from search.sources.proxies import SourcePlan
from search.sources.registry import beside, get_source
from search.sources.table import Columns, ColumnSource
from search.sources.trained import AGAIN, TRUTH, ProxySource, WholeSet


def make_sources(
    plan: SourcePlan,
    proxies: Sequence[ProxySet],
    dataset: Dataset,
    settings: RankingSettings,
    columns: Columns | None = None,
) -> dict[str, Source]:
    """The sources by name, in the order of the tables; the truth comes last.

    Args:
        proxies: the sets of `plan.proxies`.
        settings: with nothing left open.
        columns: of `settings.truth_file`, where there is one.
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
    size = trained[0].images_per_epoch() if trained else settings.ipc * dataset.spec.classes
    scope = Scope(settings, whole, size)
    named: list[Source] = [kind.make(name, scope) for name, kind in plan.named.items()]
    free = beside(plan.named, settings.free)
    ranked = [ColumnSource.of(name, settings, columns or {}) for name in settings.rank_columns]
    on_sets: list[Source] = []
    for source in trained:
        on_sets += [source] if settings.halving != "instead" else []
        on_sets += rungs_of(source) if settings.halving else []
    sources = [*on_sets, *named, *ranked, *(get_source(name).make(name, scope) for name in free)]
    sources.sort(key=lambda source: source.name == AGAIN)
    sources.append(_truth(whole, settings, columns))
    return {source.name: source for source in sources}


def _truth(whole: int, settings: RankingSettings, columns: Columns | None) -> Source:
    """What the rankings are held against: training on the whole set, or a published table."""
    if columns is None or settings.truth_column is None:
        return WholeSet(TRUTH, whole)
    return ColumnSource.of(TRUTH, settings, columns, settings.truth_column)
