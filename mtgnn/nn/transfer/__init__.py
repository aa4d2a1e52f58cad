"""New tasks for trained models, and freezing what these know."""

from .freezing import edge_logit_group, freeze, freeze_except_task, parameter_groups, unfreeze
from .new_task import add_task

__all__ = [
    "add_task",
    "edge_logit_group",
    "freeze",
    "freeze_except_task",
    "parameter_groups",
    "unfreeze",
]
