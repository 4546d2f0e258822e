"""Judgement: how sure a mean, a difference or an order of methods is, at the few domains and seeds there are."""
