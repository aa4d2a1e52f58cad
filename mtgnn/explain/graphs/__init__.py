"""Weighted task graphs: agreement, clusters, profiles, recovery of a true one, files."""

from .agreement import Agreement, graph_agreement
from .clusters import task_affinity, task_clusters, task_embedding
from .export import read_graphml, write_graphml
from .profiles import profile_graph
from .recovery import Recovery, graph_recovery

__all__ = [
    "Agreement",
    "Recovery",
    "graph_agreement",
    "graph_recovery",
    "profile_graph",
    "read_graphml",
    "task_affinity",
    "task_clusters",
    "task_embedding",
    "write_graphml",
]
