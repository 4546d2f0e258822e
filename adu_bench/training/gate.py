"""The domain gate: a linear probe on frozen features that selects the images whose answers are replaced."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from adu_bench.clip.classifier import Classifier
from adu_bench.clip.heads import DomainGate
from adu_bench.core.errors import RunFailed
from adu_bench.training.problem import Problem


def add_domain_gate(problem: Problem, classifier: Classifier, *, answer: str, weight_decay: float) -> DomainGate:
    """Add a domain gate to a classifier.

    The probe is multinomial logistic regression on the unit features of the frozen backbone for the few-shot images,
    fitted to convergence with L-BFGS.  Features are standardised for the fit; the linear layer includes the scaling.

    Parameters
    ----------
    answer
        ``"uniform"`` or ``"second"``, see `DomainGate`.
    weight_decay
        Squared-norm penalty on the probe's standardised weights.

    Raises
    ------
    RunFailed
        If the probe did not converge to finite weights.
    """
    forget = [domain in problem.forget for domain in problem.domains]
    gate = DomainGate(problem.train.frozen.shape[1], forget, answer)
    classifier.add("gate", gate)
    features = problem.train.frozen.double()
    mean, std = features.mean(dim=0), features.std(dim=0).clamp_min(1e-6)
    weight = torch.zeros(len(forget), features.shape[1], dtype=torch.float64, device=problem.device).requires_grad_()
    bias = torch.zeros(len(forget), dtype=torch.float64, device=problem.device).requires_grad_()
    standardised = (features - mean) / std
    solver = torch.optim.LBFGS([weight, bias], max_iter=500, line_search_fn="strong_wolfe", tolerance_grad=1e-7)

    def objective() -> torch.Tensor:
        solver.zero_grad()
        value = F.cross_entropy(standardised @ weight.T + bias, problem.train.domains)
        value = value + weight_decay * weight.square().sum()
        value.backward()
        return value

    final = float(solver.step(objective).detach())
    if not torch.isfinite(weight).all():
        raise RunFailed("The domain probe did not converge to finite weights.")
    with torch.no_grad():
        gate.probe.weight.copy_(weight / std)
        gate.probe.bias.copy_(bias - (weight / std) @ mean)
    problem.log(probe_loss=final)
    problem.report("domain probe", 1, 1)
    return gate
