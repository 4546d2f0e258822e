"""Audits: tests of what a finished classifier still knows; one file per audit, each with a card.

An audit's file defines a subclass of `Audit`; its author needs only the names below and what a `Subject` offers.
"""

from adu_bench.audits.audit import Audit, AuditCard, AuditMetric, Measure

__all__ = ["Audit", "AuditCard", "AuditMetric", "Measure"]
