"""Black-Box Forgetting (Kuwana et al. 2024): search text contexts with CMA-ES, without gradients of the model."""

from dataclasses import dataclass

import numpy as np
import torch
from cmaes import CMA
from torch import Tensor

from adu_bench.api import Card, Classifier, Method, Problem, TextPrompts, memorize, uniform_ce


@dataclass(frozen=True, kw_only=True)
class Bbf(Method):
    """Search text contexts with CMA-ES over latent vectors that share a part, using only the model's logits."""

    card = Card(
        name="bbf",
        group="paper",
        title="Black-Box Forgetting",
        authors="Kuwana et al.",
        year=2024,
        paper="arXiv:2411.00409",
        licence="own implementation, MIT; the official code has no licence",
        notes=(
            "The mask of forgotten images selects domains instead of classes; the rest follows the released code: one "
            "CMA-ES for the shared latent and one for each context, a random projection scaled by the spread of the "
            "token embeddings, the mean token embedding as origin, the class name after the contexts, and the "
            "candidate with the best score is returned. The code scores by H on validation images, which no method "
            "sees here; here the score is the loss on the few-shot images, which are not augmented (on emoji-mini, "
            "sigma 6.3, H is 48.5, and 47.9 with H on the few-shot images). The library cmaes takes the place of the "
            "official code's cma. Contexts are the same for every image, so a domain can be forgotten only through "
            "the class texts. The small suites reduce the budget (iterations, latent sizes), "
            "as the run's fields show."
        ),
    )

    # A factor of ten around the official 1, to either side.
    ranges = {"sigma": (0.1, 10.0)}
    bounds = {
        "iterations": ">= 1",
        "population": ">= 2",
        "contexts": ">= 1",
        "shared": ">= 2",
        "unique": ">= 2",
        "sigma": ">= 0",
    }

    iterations: int = 800
    """Generations of the search; the official scripts have 400 on CIFAR-10 and 800 otherwise."""
    population: int = 20
    """Candidates per generation."""
    contexts: int = 16
    """Context tokens in front of the class name; the official scripts have 4 on CIFAR-10 and 16 otherwise."""
    shared: int = 400
    """Latent dimensions that all contexts share."""
    unique: int = 100
    """Latent dimensions of each context."""
    sigma: float = 1.0
    """Initial step size of the search; 0 returns the starting point."""

    @torch.no_grad()
    def unlearn(self, problem: Problem) -> Classifier:
        """Search for contexts that memorize retain domains and answer uniformly on forget domains."""
        model = problem.classifier()
        prompts = model.add("contexts", BareContexts(self.contexts, 1, model.text_width))
        embeddings = model.text_tower.token_embedding.weight
        origin, spread = embeddings.mean(dim=0).cpu(), embeddings.std().cpu()
        project = spread * torch.randn(self.shared + self.unique, model.text_width, generator=problem.rng)
        train = problem.train

        def contexts(shared: np.ndarray, unique: np.ndarray) -> Tensor:
            latent = np.concatenate([np.broadcast_to(shared, (self.contexts, self.shared)), unique], axis=1)
            return origin + torch.from_numpy(self.sigma * latent).float() @ project

        def loss_of(candidate: Tensor) -> float:
            prompts.tokens[0] = candidate
            # In training mode, and only then, every call encodes the class texts again.
            logits = model.train().logits(None, frozen=train.frozen)
            return float(memorize(logits, train.labels, train.forget) + uniform_ce(logits, train.forget))

        search = LatentContextSearch(self, int(torch.randint(2**31, (), generator=problem.rng)))
        best = contexts(np.zeros(self.shared), np.zeros((self.contexts, self.unique)))
        least = loss_of(best)
        for iteration in range(1, self.iterations + 1):
            asked = search.ask()
            candidates = [contexts(shared, unique) for shared, unique in asked]
            losses = [loss_of(candidate) for candidate in candidates]
            search.tell(asked, losses)
            if min(losses) < least:
                least = min(losses)
                best = candidates[losses.index(least)]
            problem.log(iteration=iteration, loss=min(losses), least_loss=least)
            problem.report("search", iteration, self.iterations, f"loss {min(losses):.3f}")
        prompts.tokens[0] = best
        return model.eval()


class BareContexts(TextPrompts):
    """Context tokens in front of the bare class name ("... {class}."), in place of the task's template."""

    def attach(self, classifier: Classifier) -> None:
        """Keep the classifier, whose class names are the texts."""
        super().attach(classifier)
        # Set without nn.Module, which would register the classifier as a submodule of its own part.
        object.__setattr__(self, "_classifier", classifier)

    def text_tokens(self, tokens: Tensor) -> Tensor:
        """Return the token ids (C, L) of the class names, after placeholders for the contexts."""
        names = [f"{name}." for name in self._classifier.classes]
        return super().text_tokens(self._classifier.backbone.tokenizer(names))


class LatentContextSearch:
    """Latent context sharing: one CMA-ES for the shared latent and one for each context, all with the same losses.

    Parameters
    ----------
    sizes
        Gives population, contexts, shared and unique.
    seed
        Seed of the whole search.
    """

    def __init__(self, sizes: Bbf, seed: int) -> None:
        self.population = sizes.population
        seeds = np.random.SeedSequence(seed).generate_state(sizes.contexts + 1)
        lengths = [sizes.shared] + [sizes.unique] * sizes.contexts
        # The step size is a factor on the latents: with an origin of zero it is the same search.
        self.searches = [
            CMA(mean=np.zeros(length), sigma=1.0, population_size=sizes.population, seed=int(one))
            for length, one in zip(lengths, seeds, strict=True)
        ]

    def ask(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return a generation of candidates: the shared latent (shared,), and one per context (contexts, unique)."""
        drawn = [[search.ask() for search in self.searches] for _ in range(self.population)]
        return [(shared, np.stack(unique)) for shared, *unique in drawn]

    def tell(self, asked: list[tuple[np.ndarray, np.ndarray]], losses: list[float]) -> None:
        """Pass each candidate's loss to the searches that its latents came from."""
        for number, search in enumerate(self.searches):
            latents = [shared if number == 0 else unique[number - 1] for shared, unique in asked]
            search.tell(list(zip(latents, losses, strict=True)))
