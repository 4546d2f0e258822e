"""The base class of the named, removable parts that methods add to a frozen CLIP model."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn


class Host(Protocol):
    """The attributes of a classifier that its parts may use; see `adu_bench.clip.classifier.Classifier`."""

    model: Any
    classes: tuple[str, ...]
    backbone: Any
    parts: nn.ModuleDict

    @property
    def text_tower(self) -> Any:
        """The module that holds ``token_embedding`` and the text transformer."""

    def require_image_hooks(self, what: str) -> None:
        """Raise an error if the image tower cannot run the image hooks of a part."""

    def require_text_hooks(self, what: str) -> None:
        """Raise an error if the text tower cannot run the text hooks of a part."""


class Part(nn.Module):
    """Base class of the parts of a `Classifier`.

    A part overrides the hooks that it needs.  Its constructor takes plain values only (numbers, strings, booleans and
    lists of them): they are recorded, so that a saved classifier can be rebuilt without pickle.  A part that is
    switched off (`Classifier.without`) has no effect.

    The towers skip computations whose results are not used (see `adu_bench.clip.tower`).  `before_block` receives the
    class token and all patches before every block; a part that needs the prompts as well overrides `adapt_prompts`.
    """

    kinds: ClassVar[dict[str, type[Part]]] = {}
    open_vocabulary: ClassVar[bool] = True
    """False for parts that are tied to the classes that they were trained on."""
    needs_frozen: ClassVar[bool] = False
    """True if ``adjust`` reads the features of the frozen backbone."""
    texts_alike: ClassVar[bool] = False
    """True if the hooks of the text tower treat each class prompt alike: for many classes they are then called for
    chunks of them, so that C in these hooks is the size of a chunk."""

    settings: dict[str, Any]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        known = Part.kinds.get(cls.__name__)
        if known is not None and known.__module__.startswith("adu_bench.clip"):
            raise TypeError(f"adu-bench already has a part called {cls.__name__}; choose another name.")
        Part.kinds[cls.__name__] = cls

    def __new__(cls, *values: Any, **named: Any) -> Part:
        """Record the constructor's arguments, from which a saved classifier rebuilds the part."""
        part = super().__new__(cls)
        bound = inspect.signature(cls.__init__).bind(part, *values, **named)
        bound.apply_defaults()
        variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        given = {name: value for name, value in bound.arguments.items() if name != "self"}
        given = {name: value for name, value in given.items() if bound.signature.parameters[name].kind not in variable}
        # The attribute hook of nn.Module is not usable before its constructor has run.
        object.__setattr__(part, "settings", given)
        object.__setattr__(part, "enabled", True)
        return part

    enabled: bool

    def attach(self, classifier: Host) -> None:
        """Prepare the part for ``classifier``; called once, when the part is added."""

    def before_block(self, index: int, tokens: Tensor) -> Tensor:
        """Change the class token and the patches (N, 1 + patches, width) before image block ``index`` (from 0)."""
        return tokens

    def image_prompts(self, index: int) -> Tensor | None:
        """Return prompts for image block ``index``: (P, width) for all images or (N, P, width).

        They come after the patches and replace the prompts that left the previous block; the first block's prompts pass
        through the tower's first LayerNorm.  None keeps the prompts of the previous block.
        """
        return None

    def adapt_prompts(self, index: int, tokens: Tensor, prompts: Tensor) -> Tensor:
        """Change the prompts that enter image block ``index``.

        Parameters
        ----------
        index
            From 0.
        tokens
            The class token and the patches that enter the block, (N, 1 + patches, width).
        prompts
            (P, width) if all images share them, otherwise (N, P, width).

        Returns
        -------
        Tensor
            (P, width) or (N, P, width).
        """
        return prompts

    def text_tokens(self, tokens: Tensor) -> Tensor:
        """Change the token ids of the class prompts, int64 (C, L), on the CPU.

        The result is cached until parts or classes change, so it must not depend on trainable parameters.
        """
        return tokens

    def text_embeddings(self, embeddings: Tensor) -> Tensor:
        """Change the embedded class prompts (C, L, width) before positions are added.

        L is the length of the longest text.
        """
        return embeddings

    def before_text_block(self, index: int, tokens: Tensor) -> Tensor:
        """Change the text tokens (C, L, width) that enter text block ``index`` (from 0)."""
        return tokens

    def score(self, logits: Tensor, features: Tensor, text: Tensor) -> Tensor:
        """Replace or change the logits (N, C), given unit features (N, D) and unit text features (C, D), float32."""
        return logits

    def adjust(self, logits: Tensor, frozen: Tensor | None) -> Tensor:
        """Change the final logits (N, C); ``frozen`` (N, D) is given only if ``needs_frozen`` is true."""
        return logits

    def updated_towers(self) -> tuple[str, ...]:
        """Return the towers whose weights this part changes: any of ``"visual"`` and ``"text"``."""
        return ()

    def overrides(self, *hooks: str) -> bool:
        """Return whether this part's class overrides any of the named hooks."""
        return any(getattr(type(self), hook) is not getattr(Part, hook) for hook in hooks)
