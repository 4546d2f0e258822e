"""What a method may add to a frozen CLIP model: a named, removable part that is rebuilt from its settings."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

if TYPE_CHECKING:
    from adu_bench.clip.classifier import Classifier


class Part(nn.Module):
    """Base of everything that can be added to a `Classifier`.

    A part overrides the hooks it needs.  Its constructor takes plain values only (numbers, strings, booleans and
    lists of them): they are recorded, so that a saved classifier can be rebuilt without pickle.  A part that is
    switched off (`Classifier.without`) has no influence at all.
    """

    kinds: ClassVar[dict[str, type[Part]]] = {}
    open_vocabulary: ClassVar[bool] = True
    """False for parts that are tied to the classes they were trained on."""
    needs_frozen: ClassVar[bool] = False
    """True if ``adjust`` reads the features of the untouched backbone."""

    settings: dict[str, Any]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        known = Part.kinds.get(cls.__name__)
        if known is not None and known.__module__.startswith("adu_bench.clip"):
            raise TypeError(f"A part called {cls.__name__} ships with adu-bench; give yours another name.")
        Part.kinds[cls.__name__] = cls

    def __new__(cls, *values: Any, **named: Any) -> Part:
        """Record the constructor's arguments, from which `Classifier.load` rebuilds the part."""
        part = super().__new__(cls)
        bound = inspect.signature(cls.__init__).bind(part, *values, **named)
        bound.apply_defaults()
        variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        given = {name: value for name, value in bound.arguments.items() if name != "self"}
        given = {name: value for name, value in given.items() if bound.signature.parameters[name].kind not in variable}
        # nn.Module's own attribute hook is not usable before its constructor has run.
        object.__setattr__(part, "settings", given)
        object.__setattr__(part, "enabled", True)
        return part

    enabled: bool

    def attach(self, classifier: Classifier) -> None:
        """Prepare for ``classifier``; called once, when the part is added."""

    def before_pre_norm(self, tokens: Tensor) -> Tensor:
        """Change the image tokens (N, L, width) that enter the first LayerNorm."""
        return tokens

    def before_block(self, index: int, tokens: Tensor) -> Tensor:
        """Change the image tokens (N, L, width) that enter block ``index`` (from 0)."""
        return tokens

    def text_tokens(self, tokens: Tensor) -> Tensor:
        """Change the token ids of the class prompts, int64 (C, L)."""
        return tokens

    def text_embeddings(self, embeddings: Tensor) -> Tensor:
        """Change the embedded class prompts (C, L, width) before positions are added."""
        return embeddings

    def before_text_block(self, index: int, tokens: Tensor) -> Tensor:
        """Change the text tokens (C, L, width) that enter text block ``index`` (from 0)."""
        return tokens

    def score(self, logits: Tensor, features: Tensor, text: Tensor) -> Tensor:
        """Replace or change the logits (N, C), given unit features (N, D) and unit text features (C, D)."""
        return logits

    def adjust(self, logits: Tensor, frozen: Tensor | None) -> Tensor:
        """Change the final logits (N, C); ``frozen`` (N, D) comes only where ``needs_frozen`` is true."""
        return logits

    def updated_towers(self) -> tuple[str, ...]:
        """Return which towers' weights this part changes: any of ``"visual"`` and ``"text"``."""
        return ()

    def overrides(self, *hooks: str) -> bool:
        """Return whether this part's class has its own version of any of the named hooks."""
        return any(getattr(type(self), hook) is not getattr(Part, hook) for hook in hooks)
