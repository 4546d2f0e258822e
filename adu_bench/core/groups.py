"""The groups of methods: what a choice on the command line can name, and the families of a board."""

from __future__ import annotations

GROUPS = {
    "paper": "in the tables of the paper of approximate domain unlearning",
    "reference": "bounds and controls, never ranked",
    "ablation": "variants of another method",
    "authorisation": "domain authorisation and non-transferable learning",
    "tuning": "tuning of vision-language models, with a loss that forgets",
    "weights": "unlearning that changes the backbone's own weights",
    "training-free": "computed in closed form, without training",
    "other": "anything else",
}
"""What each group holds, in the order of lists."""
