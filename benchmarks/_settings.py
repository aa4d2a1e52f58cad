"""What ``accuracy.py`` compares: models, settings, and the protocol of each data set.

A setting is an entry of ``SETTINGS``; add one, and ``accuracy.py --settings NAME`` runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from _examples import DEFAULTS, PLANTED

# The last two are no published models. One is the star without its tasks' nodes, and tells what
# these bring beside the mailbox; the other is nodes alone, and tells what the messages bring.
PUBLISHED = ("single", "shared", "shared_private", "adversarial", "cross_stitch", "mixture")
BASELINES = (*PUBLISHED, "shared_mailbox", "no_messages")
GRAPHS = ("complete", "star")
# What changes of a graph are compared with, too: what is left of its lead?
BESIDE_ABLATIONS = ("shared_mailbox", "no_messages", "adversarial")
MODELS = BASELINES + GRAPHS
PLAIN = ("headline", "quarter", "tenth")


@dataclass(frozen=True)
class Setting:
    """How a run differs from the headline.

    Attributes:
        about: What it is, for a reader.
        models: Which models it makes sense for.
        fraction: Share of the training texts; with fewer of them batches are smaller, so that
            the number of updates stays about the same.
        options: Changes of the options of ``examples/text_classification.py``.
        encoder: Further options of the encoder's class.
        matched: Whether every encoder gets as many parameters as the star's, by its hidden size.
        tuned: The setting on which the learning rates were chosen; by default the protocol's.
        ablation: Whether it is compared with the same model without the change: on three seeds,
            and on the part of the texts that the data set's protocol says.
        than: Another ablation that it is compared with instead, which it changes further.
        rival: Whether baselines in it stand against graphs in the plain setting of its texts.
        equal: Whether the numbers that weigh edges stay as they start: all senders weigh the same.
        rates: Learning rates of single groups of parameters, as multiples of the run's.
    """

    about: str
    models: tuple[str, ...] = MODELS
    fraction: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)
    encoder: Mapping[str, Any] = field(default_factory=dict)
    matched: bool = False
    tuned: str | None = None
    ablation: bool = False
    than: str | None = None
    rival: bool = False
    equal: bool = False
    rates: Mapping[str, float] = field(default_factory=dict)


def _changed(
    about: str, *models: str, encoder: Any = None, than: str | None = None, **options: Any
) -> Setting:
    own = encoder or {}
    return Setting(about, models or GRAPHS, options=options, encoder=own, ablation=True, than=than)


SETTINGS: dict[str, Setting] = {
    "headline": Setting("all training texts"),
    "quarter": Setting("25 % of the training texts", fraction=0.25),
    "tenth": Setting("10 % of the training texts", fraction=0.1, tuned="tenth"),
    "matched": Setting(
        "as many parameters in every encoder",
        BASELINES,
        matched=True,
        tuned="quarter-matched",
        rival=True,
    ),
    "bidirectional": Setting("both directions", encoder={"bidirectional": True}, rival=True),
    # The star's mailbox knows the whole text; here the baselines do, too.
    "quarter-bidirectional": Setting(
        "25 % of the training texts, both directions",
        fraction=0.25,
        encoder={"bidirectional": True},
        rival=True,
    ),
    "quarter-matched": Setting(
        "25 % of the training texts, as many parameters in every encoder",
        BASELINES,
        fraction=0.25,
        matched=True,
        tuned="quarter-matched",
        rival=True,
    ),
    "edges-equal": Setting("all senders weigh the same", ("complete",), ablation=True, equal=True),
    "exchange-mailbox": _changed("whole texts", "complete", exchange="mailbox"),
    "exchange-read": _changed("word by word, static scores", "complete", exchange="read"),
    "exchange-mutual": _changed(
        "exchange: mutual, static scores", "complete", than="exchange-read", exchange="mutual"
    ),
    "score-additive": _changed(
        "word by word, additive scores",
        "complete",
        than="exchange-read",
        exchange="read",
        score="additive",
    ),
    "score-dot": _changed("score: dot", score="dot"),
    "score-uniform": _changed("score: uniform", score="uniform"),
    "fusion-gated": _changed("fusion: gated", encoder={"fusion": "gated"}),
    "memory-past": _changed("memory: past", "star", memory="past"),
    "memory-current": _changed("memory: current", "star", memory="current"),
    "detach": _changed("no gradient into senders", "complete", encoder={"detach": True}),
    "heads-4": _changed("four heads", encoder={"heads": 4}),
    "neighbors-4": _changed(
        "four senders a text in training", "complete", encoder={"num_neighbors": 4}
    ),
    "no-common": _changed("no part in common", common=False),
    # A node's own part starts at zero, beside the common part; slower, it stays nearer to that.
    "own-slow": Setting(
        "own parts learn a tenth as fast",
        ("star",),
        ablation=True,
        rates={"nodes": 0.1},
    ),
    # Then all tasks' nodes have few parameters more than the one node of ``shared_mailbox``.
    "own-biases": _changed("own parts are biases alone", encoder={"own_rank": 0}),
    # Whether baselines lack but size: four times the parameters of an LSTM.
    "wide": Setting(
        "states of 200",
        ("shared", "adversarial", "shared_mailbox"),
        options={"hidden_size": 200},
        tuned="wide",
        ablation=True,
        rival=True,
    ),
    # The same question from the other side: whether graphs need theirs.
    "small": Setting(
        "states of 50", GRAPHS, options={"hidden_size": 50}, tuned="small", ablation=True
    ),
    "no-concat": _changed("no messages in the output", concat_messages=False),
}


@dataclass(frozen=True)
class Protocol:
    """How all models are trained on a data set.

    Attributes:
        options: As those of ``examples/text_classification.py``.
        grid: Learning rates to choose from, the same for every model; beyond its ends only while
            the best one stands there.
        tuning_seeds: Seeds that the learning rates are chosen on; none of them is reported.
        base: The setting that learning rates are chosen on, for nearly all settings, and that
            ablations change.
    """

    options: Mapping[str, Any]
    grid: tuple[float, ...]
    tuning_seeds: tuple[int, ...]
    base: str


PROTOCOLS: dict[str, Protocol] = {
    "planted": Protocol({**DEFAULTS, **PLANTED}, (3e-3, 1e-2, 2e-2), (100, 101), "headline"),
    "fdu-mtl": Protocol(
        {
            **DEFAULTS,
            "data": "fdu-mtl",
            "vectors": "train",
            "epochs": 20,
            "patience": 3,
            "clip": 1.0,
        },
        (5e-4, 1e-3, 2e-3),
        (100,),
        "quarter",
    ),
}
SEEDS = (0, 1, 2, 3, 4)
ABLATION_SEEDS = SEEDS[:3]
SMALLEST_BATCH = 8


def base(setting: str, data: str) -> str:
    """The setting that an ablation changes, else the setting itself."""
    return PROTOCOLS[data].base if SETTINGS[setting].ablation else setting


def plain(setting: str, data: str) -> str:
    """Of the plain settings, which differ in nothing but texts, that of a setting's texts."""
    return next(name for name in PLAIN if SETTINGS[name].fraction == fraction(setting, data))


def than(setting: str, data: str) -> str:
    """The setting that an ablation is compared with."""
    other = SETTINGS[setting].than
    return base(setting, data) if other is None or unchanged(other, data) else other


def fraction(setting: str, data: str) -> float:
    """Share of the training texts."""
    return SETTINGS[base(setting, data)].fraction


def tuned(setting: str, data: str) -> str:
    """The setting on which a setting's learning rates were chosen."""
    return SETTINGS[setting].tuned or PROTOCOLS[data].base


def seeds(setting: str) -> tuple[int, ...]:
    """The seeds that a setting is reported from."""
    return ABLATION_SEEDS if SETTINGS[setting].ablation else SEEDS


def unchanged(setting: str, data: str) -> bool:
    """Whether an ablation is what the data set's protocol does anyway."""
    own, options = SETTINGS[setting], PROTOCOLS[data].options
    same = all(options[key] == value for key, value in own.options.items())
    return own.ablation and not own.encoder and not own.equal and not own.rates and same
