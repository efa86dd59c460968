"""What a PromQL expression names: metrics and their labels, compared with those that the exporter has."""

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Final

import promql_parser
from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    LabelModifierType,
    MatrixSelector,
    ParenExpr,
    StringLiteral,
    SubqueryExpr,
    UnaryExpr,
    VectorMatchCardinality,
    VectorSelector,
)

from exporter.families import FAMILIES, MetricType

Uses = Iterator[tuple[str, frozenset[str]]]

_TARGET_LABELS: Final = frozenset({"job", "instance"})  # Prometheus adds them at the scrape
_NONE: Final[frozenset[str]] = frozenset()
_OF_PROMETHEUS: Final[Mapping[str, frozenset[str] | None]] = MappingProxyType(
    {"up": _TARGET_LABELS, "ALERTS": None}  # None: any label, as each alert brings its own
)
_NO_METRICS: Final[Mapping[str, Collection[str]]] = MappingProxyType({})


def _samples() -> Iterator[tuple[str, frozenset[str] | None]]:
    yield from _OF_PROMETHEUS.items()
    for family in FAMILIES.values():
        labels = _TARGET_LABELS | set(family.labels)
        if family.type is MetricType.HISTOGRAM:
            yield f"{family.name}_bucket", labels | {"le"}
            yield f"{family.name}_sum", labels
            yield f"{family.name}_count", labels
        else:
            yield family.name, labels


SAMPLES: Final[Mapping[str, frozenset[str] | None]] = MappingProxyType(dict(_samples()))
"""Every series that an expression may name, and its labels; None where any label will do."""


def metrics_and_labels(expression: str) -> Uses:
    """Yield each selector's metric and the labels that the expression uses of it.

    Used are the labels of its matchers, and those that an operator around it groups or joins by, unless a join or a
    function makes them. The labels of ``ignoring`` stand on the side that has them, by `SAMPLES`: on both where
    neither has. A selector without a name yields the empty one. Raises ValueError where it is no PromQL.
    """
    yield from _uses(promql_parser.parse(expression), _NONE)


def unknown_names(
    expression: str, extra_metrics: Mapping[str, Collection[str]] | Collection[str] = _NO_METRICS
) -> list[str]:
    """Return the metrics and the labels, as ``metric{label}``, that are not the exporter's, sorted; none is good.

    ``extra_metrics`` are allowed too, as those of recording rules: with their labels, or as names with any label.
    Raises ValueError where the expression is no PromQL.
    """
    known: dict[str, frozenset[str] | None] = dict(SAMPLES)
    if isinstance(extra_metrics, Mapping):
        known |= {name: _TARGET_LABELS | set(labels) for name, labels in extra_metrics.items()}
    else:
        known |= dict.fromkeys(extra_metrics)
    unknown: set[str] = set()
    for metric, labels in metrics_and_labels(expression):
        if metric not in known:
            unknown.add(metric or "a selector without a name")
        elif (has := known[metric]) is not None:
            unknown |= {f"{metric}{{{label}}}" for label in labels - has}
    return sorted(unknown)


def _uses(node: Expr, wanted: frozenset[str]) -> Uses:
    """Yield what lies below a node, of whose result the labels ``wanted`` are used above it."""
    match node:
        case VectorSelector():
            yield _selector(node, wanted)
        case MatrixSelector():
            yield from _uses(node.vector_selector, wanted)
        case AggregateExpr():
            yield from _aggregation(node, wanted)
        case BinaryExpr():
            yield from _operation(node, wanted)
        case Call():
            yield from _call(node, wanted)
        case ParenExpr() | UnaryExpr() | SubqueryExpr():
            yield from _uses(node.expr, wanted)
        case _:  # a number or a string
            return


def _selector(node: VectorSelector, wanted: frozenset[str]) -> tuple[str, frozenset[str]]:
    matchers = [*node.matchers.matchers, *(each for group in node.matchers.or_matchers for each in group)]
    named = next((each.value for each in matchers if each.name == "__name__"), "")
    return node.name or named, wanted | {each.name for each in matchers if each.name != "__name__"}


def _aggregation(node: AggregateExpr, wanted: frozenset[str]) -> Uses:
    if isinstance(node.param, StringLiteral):
        wanted -= {node.param.val}  # count_values makes that label
    elif node.param is not None:
        yield from _uses(node.param, _NONE)
    grouped_by = node.modifier.labels if node.modifier is not None else ()
    yield from _uses(node.expr, wanted | set(grouped_by))


def _operation(node: BinaryExpr, wanted: frozenset[str]) -> Uses:
    modifier = node.modifier
    if modifier is None:
        yield from _uses(node.lhs, wanted)
        yield from _uses(node.rhs, wanted)
        return
    left = right = wanted
    joined = frozenset(modifier.group_labels or ())
    if modifier.card == VectorMatchCardinality.ManyToOne:
        left, right = wanted - joined, joined
    elif modifier.card == VectorMatchCardinality.OneToMany:
        left, right = joined, wanted - joined
    elif modifier.card == VectorMatchCardinality.ManyToMany and str(node.op) != "or":
        right = _NONE  # `and` and `unless` give what is on the left
    if modifier.matching is not None:
        labels = frozenset(modifier.matching.labels)
        if modifier.matching.type == LabelModifierType.Include:
            left, right = left | labels, right | labels
        else:
            of_left, of_right = _had_below(node.lhs, labels), _had_below(node.rhs, labels)
            of_neither = labels - of_left - of_right
            left, right = left | of_left | of_neither, right | of_right | of_neither
    yield from _uses(node.lhs, left)
    yield from _uses(node.rhs, right)


def _had_below(node: Expr, labels: frozenset[str]) -> frozenset[str]:
    """Return which of the labels every metric below a node has."""
    metrics = [SAMPLES.get(metric, _NONE) for metric, _ in _uses(node, _NONE)]
    return labels.intersection(*(has for has in metrics if has is not None)) if metrics else _NONE


def _call(node: Call, wanted: frozenset[str]) -> Uses:
    words = [argument.val for argument in node.args if isinstance(argument, StringLiteral)]
    if node.func.name == "label_replace":
        made, _, source, _ = words
        wanted = wanted - {made} | {source}
    elif node.func.name == "label_join":
        made, _, *sources = words
        wanted = wanted - {made} | set(sources)
    for argument in node.args:
        yield from _uses(argument, wanted)
