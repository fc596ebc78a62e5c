"""Metrics for Prometheus: the registry of one process, a dashboard and alert rules that read it."""

from eventrouter.metrics.registry import CONTENT_TYPE, Described, Metrics

__all__ = ["CONTENT_TYPE", "Described", "Metrics"]
