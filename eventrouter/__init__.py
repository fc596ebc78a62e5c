"""eventrouter: a self-hosted, event-sourced execution router.

from eventrouter import ExecutionRouter, enqueue_execution_task, setup
"""

from eventrouter.app import setup
from eventrouter.domain.accounts import Account
from eventrouter.router import ExecutionRouter
from eventrouter.store.enqueue import (
    enqueue_execution_task,
    enqueue_execution_task_for_entry,
    enqueue_execution_task_for_exit,
)

__all__ = [
    "Account",
    "ExecutionRouter",
    "enqueue_execution_task",
    "enqueue_execution_task_for_entry",
    "enqueue_execution_task_for_exit",
    "setup",
]
