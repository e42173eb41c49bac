"""The table that bench/failover.py prints: a row a figure, a column a kill, ours beside stock; then each target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.failover_figures import (
    History,
    Round,
    Side,
    beside,
    between,
    beyond,
    failed,
    first_sent,
    in_flight,
    last_sent,
    out,
    own_reads,
    up,
)
from bench.rig import percentile

VERDICT_WITHIN, OUT_WITHIN = 25.0, 3.0  # seconds
READMITTED = 10.0  # seconds after a node is let in again

_PHASES = (("steady", "begun", "killed"), ("away", "killed", "answers"), ("back", "answers", "ended"))

Figure = Callable[[Side, Round], float | None]


@dataclass(frozen=True)
class Report:
    rounds: Sequence[Round]
    ours: Side
    stock: Side
    verdicts: History
    lags: History
    down: float

    def said(self, told: Round, state: str, since: float) -> float | None:
        """Seconds from `since` until the API says that the node is in this state."""
        at = self.verdicts.first(since, told.ended, lambda states: states.get(told.node) == state)
        return None if at is None else at - since


def tell(report: Report, gone: int) -> None:
    print(f"\n{'':<58}{''.join(f'{told.node:>10}' for told in report.rounds)}")
    for what, figure in _ROWS.items():
        for side in (report.ours, report.stock):
            _row(f"{what}, {side.name}", [figure(side, told) for told in report.rounds])
    for what, state, since in (
        ("kill to `suspect`, s", "suspect", "killed"),
        ("kill to `down`, s (a)", "down", "killed"),
        ("answers to `recovering`, s", "recovering", "answers"),
        ("answers to `healthy`, s", "healthy", "answers"),
    ):
        _row(what, [report.said(told, state, getattr(told, since)) for told in report.rounds])
    _tell_load(report)
    _tell_stale(report)
    _tell_ratios(report)
    _tell_targets(report, gone)


def went_out(side: Side, told: Round) -> float | None:
    """Seconds from the kill until HAProxy itself calls the node out."""
    at = side.states.first(told.killed, told.revived, out(told.node))
    return None if at is None else at - told.killed


def last_there(side: Side, told: Round) -> float | None:
    at = last_sent(side, told)
    return None if at is None else at - told.killed


def let_in(side: Side, told: Round) -> float | None:
    """Seconds from when the node answers again until HAProxy calls it up."""
    at = side.states.first(told.answers, told.ended, up(told.node))
    return None if at is None else at - told.answers


def first_there(side: Side, told: Round) -> float | None:
    at = first_sent(side, told)
    return None if at is None else at - told.answers


def stale_readmitted(side: Side, told: Round) -> float | None:
    """Of the node that is back, right after."""
    at = first_sent(side, told)
    if at is None:
        return None
    reads = own_reads(between(side.asked, told.answers, told.ended))
    where = [(side.sent.get(one.number), one.result) for one in reads]
    there = [result for sent, result in where if sent and sent.server == told.node and at <= sent.at < at + READMITTED]
    return float(there.count("stale"))


_ROWS: dict[str, Figure] = {
    "kill to out by its statistics, s (b)": went_out,
    "kill to the last request sent there, s (b)": last_there,
    "failed from the kill until it answers": lambda side, told: float(len(failed(side, told))),
    "  of them in flight there at the kill": lambda side, told: float(len(in_flight(side, told, failed(side, told)))),
    "answers to let in by its statistics, s": let_in,
    "answers to the first request there, s": first_there,
    f"stale own reads there, first {READMITTED:g} s": stale_readmitted,
}


def _row(what: str, values: Sequence[float | None]) -> None:
    shown = [f"{'never' if value is None else f'{value:.2f}'.removesuffix('.00'):>10}" for value in values]
    print(f"{what:<58}{''.join(shown)}")


def _tell_load(report: Report) -> None:
    for side in (report.ours, report.stock):
        seconds = [one.ended - one.at for one in side.asked]
        results = Counter(one.result for one in side.asked)
        print(
            f"{side.name:<6}{len(seconds)} requests, {results['failed']} failed, {results['refused']} refused (409); "
            f"median {median(seconds) * 1000:.0f} ms, p99 {percentile(seconds, 0.99) * 1000:.0f} ms, "
            f"longest {max(seconds):.2f} s"
        )
        why = Counter(f"{one.kind}: {one.detail}" for one in side.asked if one.result == "failed")
        for words, count in why.most_common(8):
            print(f"{'':<6}{count} x {words}")


def _tell_stale(report: Report) -> None:
    print("stale reads of own writes; what GET /api/nodes said then of that node's lag: unknown, enough, too little")
    for side in (report.ours, report.stock):
        for what, since, until in _PHASES:
            spans = [(getattr(told, since), getattr(told, until)) for told in report.rounds]
            reads = own_reads(one for span in spans for one in between(side.asked, *span))
            ages = [one.age or 0.0 for one in reads if one.result == "stale"]
            found = beyond(side, reads, report.lags)
            print(
                f"  {what:<7}{side.name:<6}{len(ages):>5} of {len(reads)}; oldest such write "
                f"{max(ages, default=0.0):.2f} s; lag {found.unknown}, {found.within}, {found.beyond}"
            )


def _tell_ratios(report: Report) -> None:
    for what, figure in _ROWS.items():
        ours = [value for told in report.rounds if (value := figure(report.ours, told)) is not None]
        stock = [value for told in report.rounds if (value := figure(report.stock, told)) is not None]
        if ours and stock and median(stock):
            print(f"{what}: ours / stock = {median(ours) / median(stock):.2f} (medians)")


def _tell_targets(report: Report, gone: int) -> None:
    ours = report.ours
    worst = max(_or_never(report.said(told, "down", told.killed)) for told in report.rounds)
    left = max(max(_or_never(went_out(ours, told)), last_there(ours, told) or 0.0) for told in report.rounds)
    others = sum(len(beside(ours, told)) for told in report.rounds)
    reads = own_reads(one for told in report.rounds for one in between(ours.asked, told.killed, told.ended))
    stale = beyond(ours, reads, report.lags)
    _target(worst <= VERDICT_WITHIN, f"verdict down within {VERDICT_WITHIN:g} s: {worst:.1f} s at worst")
    _target(left <= OUT_WITHIN, f"no client sent there after {OUT_WITHIN:g} s: {left:.2f} s at worst")
    _target(not others, f"none but requests in flight there fail: {others} others failed")
    _target(not stale.beyond, f"no stale own read beyond the lag reported: {stale.beyond} of {len(reads)}")
    _target(not gone, f"no acknowledged write lost once the node is back: {gone} lost")


def _or_never(value: float | None) -> float:
    return float("inf") if value is None else value


def _target(met: bool, words: str) -> None:
    print(f"{'met    ' if met else 'NOT MET'} {words}")
