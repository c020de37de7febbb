"""Learning curves: how good a learner will be, told from how it has been getting better.

For whoever must decide whether more data or more steps are worth their price. Vilares Ferro,
Darriba Bilbao and Ribadas Pena, "Modeling of learning curves with applications to POS tagging",
Computer Speech and Language 2017. A family of curves (the accuracy pattern) is fitted again with
every new observation; once the fits have settled, and only then, the last one is believed.

    curve = forecast([100, 200, 300, ...], [0.52, 0.61, 0.66, ...], at=[2000])
    curve.reached, curve.mean, curve.low, curve.high, curve.why

Terms of the paper, for observations (x_i, A_i), the accuracy A_i after x_i of data or steps:
the *trend* of level l >= 3 is the least-squares fit to the first l; the *trace* is all trends; the
*asymptotic backbone* their limits alpha_l. The *working level* is the first from which the backbone
stands still, the *prediction level* the first after it whose limit is possible at all. Beyond it
every fit is *anchored*: it sees the last limit as one more observation, at infinity. What may still
change is the *layer of convergence*; training stops where it is thinner than what one asks for.

Shapes: sizes (n,), accuracies (n,) or (n, folds); a batch of curves is (b, n).

Published numbers are not in our sources. Ours, where they are silent: the layer of convergence (a
stand-in, `layer`), the noise allowed to the hypotheses (`hypotheses`), the robustness rate, and
all intervals. A trend is found by eliminating the two linear parameters and searching the third,
on a grid and then ever closer: the optimum that trust-region reflective least squares is to find.
"""

from __future__ import annotations

from sonograph.registry import About
from sonograph.systems.study.learning_curves.checks import Hypotheses, hypotheses
from sonograph.systems.study.learning_curves.measures import (
    decision_reliability,
    mape,
    percentage_errors,
    robustness,
)
from sonograph.systems.study.learning_curves.patterns import (
    FIRST_LEVEL,
    HIGHEST_LIMIT,
    PATTERNS,
    Pattern,
    Trends,
    fit,
)
from sonograph.systems.study.learning_curves.prediction import (
    Forecast,
    forecast,
    forecast_losses,
    plausible,
)
from sonograph.systems.study.learning_curves.trace import (
    Config,
    Trace,
    anchored_trends,
    layer,
    prediction_level,
    trace_of,
    working_level,
)

__all__ = [
    "ABOUT",
    "FIRST_LEVEL",
    "HIGHEST_LIMIT",
    "PATTERNS",
    "Config",
    "Forecast",
    "Hypotheses",
    "Pattern",
    "Trace",
    "Trends",
    "anchored_trends",
    "decision_reliability",
    "fit",
    "forecast",
    "forecast_losses",
    "hypotheses",
    "layer",
    "mape",
    "percentage_errors",
    "plausible",
    "prediction_level",
    "robustness",
    "trace_of",
    "working_level",
]

ABOUT = About(
    summary="How far a learning curve will rise, told from its first part, and when it is told.",
    use=(
        "More data can be had, at a price: measure the accuracy over parts of what is there, and "
        "`sonograph forecast` says what twice as much would bring.",
        "Several learners are tried, and the hopeless ones are to be dropped before they end.",
        "A training is to stop where little is left to gain: `sonograph train --stop-when-flat`.",
    ),
    avoid=(
        "Fewer than nine observations, or noisy ones: it says that it cannot tell, and why.",
        "A curve that rises and falls, or has not begun to flatten: no accuracy pattern fits it.",
        "The learning rate falls along the curve, as with a cosine: what the end of the schedule "
        "brings is not in its beginning.",
        "The end of the curve is another regime: other data, or a larger model.",
        "Some hundred clips and a great hurry: measured here on such curves, those that had come "
        "to rest rose above the forecast more often than not, and a plain power law did better "
        "than an anchored one (docs/claims.md). Take the interval, not the number.",
    ),
    paper="Manuel Vilares Ferro, Victor M. Darriba Bilbao, Francisco J. Ribadas Pena, Computer "
    "Speech and Language 2017, arXiv 2402.02515",
    figures=(
        "from a fraction of the data the final accuracy of part-of-speech taggers is predicted "
        "with small error, and taggers are ordered right; the numbers are in no source we have",
    ),
    code_licence="none: no official code was found",
    weights_licence="none: there are no weights",
    deviations=(
        "The layer of convergence is a stand-in of ours: the larger of what the last trend leaves "
        "to gain and what the last observation changed in any later prediction. It bounds nothing: "
        "of real curves it held the end in about a third (docs/claims.md), of noisy power laws in "
        "most.",
        "nu is 4e-4 where the paper's is of the order of 1e-5, with sizes counted so that the "
        "first step has 5,000 units, its step in words: two percentage points a step. At the "
        "paper's value curves from a few hundred clips never come to rest. Chosen on made power "
        "laws with noise, before any real curve was seen.",
        "`train --stop-when-flat` asks the last seven trends what the planned steps have left to "
        "gain, not the layer of convergence, which looks at endless ones: of a real run of 680 "
        "steps the layer ended nothing, even at a loss of 2; this ended it at step 612 for 0.1 "
        "(0.009 lost) and at 425 for 0.5 (0.057 lost).",
        "Trends are found by eliminating the linear parameters and searching the third, not by "
        "trust-region steps: the same optimum, from no start. scipy's search agrees.",
        "A limit is bounded by 200 % but not by the highest observation, which noise would lift; "
        "a fit at that bound does not count as still.",
        "The working hypotheses are checked with an allowance for noise, which the paper leaves to "
        "anchoring.",
        "Intervals (bootstrap over folds or residuals, and every plausible pattern), losses, "
        "exponential and MMF patterns and the robustness rate's definition are ours.",
    ),
    faults=(),
    verbs=("forecast", "train"),
    golden=(),
    checks=("tests/parity/test_learning_curves_scipy.py",),
)
