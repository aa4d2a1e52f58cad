"""How the records on the page of results are made."""

from __future__ import annotations

COMMANDS = {
    "planted": "benchmarks/planted.py --csv benchmarks/results/planted.csv",
    "accuracy": "benchmarks/accuracy.py --data planted --results benchmarks/results",
    "claims": "benchmarks/accuracy.py --data fdu-mtl --root PLACE --results benchmarks/results",
    "transfer": "benchmarks/transfer.py --data fdu-mtl --root PLACE "
    "--csv benchmarks/results/transfer.csv",
    "transfer_planted": "benchmarks/transfer.py --csv benchmarks/results/transfer_planted.csv",
    "tagging": "benchmarks/tagging.py --csv benchmarks/results/tagging.csv",
    "tagging_graphs": "benchmarks/tagging.py --scopes joint --models complete --heads crf "
    "--score dot --csv benchmarks/results/tagging.csv",
    "tagging_few": "benchmarks/tagging.py --labels 200 --epochs 60 --heads crf --scopes conll2000 "
    "--learning-rate 2e-3 4e-3 8e-3 1.6e-2 --score dot --models single shared complete star "
    "--csv benchmarks/results/tagging_few.csv",
    "tagging_few_own": "benchmarks/tagging.py --labels 200 --epochs 60 --heads crf --score dot "
    "--learning-rate 1.6e-2 --own-rate 0.1 --scopes joint --models star --seeds 0 1 2 "
    "--csv benchmarks/results/tagging_few_own.csv",
    "tagging_characters": "benchmarks/tagging.py --characters lstm --heads crf --scopes conll2000 "
    "--models single complete star --seeds 0 1 2 --csv benchmarks/results/tagging_characters.csv",
    "tagging_wide": "benchmarks/tagging.py --hidden-size 258 --heads crf --scopes conll2000 "
    "--models shared --seeds 0 1 2 --csv benchmarks/results/tagging_wide.csv",
    "crf": "benchmarks/crf.py --csv benchmarks/results/crf.csv",
    "tagging_speed": "benchmarks/tagging_speed.py --csv benchmarks/results/tagging_speed.csv",
    "recovery": "benchmarks/recovery.py --csv benchmarks/results/recovery.csv",
    "graphs": "benchmarks/learned_graph.py --root PLACE --csv benchmarks/results/graphs.csv",
    "collect_attention": "benchmarks/collect_attention.py --root PLACE --csv "
    "benchmarks/results/collect_attention.csv",
    "speed": "benchmarks/speed.py --csv benchmarks/results/speed.csv",
}
