"""Text context that takes the place of a template's first words."""

import torch
from torch import Tensor

from adu_bench.api import Classifier, TextPrompts


class TemplateContexts(TextPrompts):
    """Context tokens in place of the template's first words, from whose embeddings the first block's tokens start.

    The template's other words stay: two tokens turn "a photo of a {}." into "[1] [2] of a {}.".  Where the template
    has fewer words in front of the class name than there are tokens, they stand in front of the whole text and start
    at random.  Arguments as in `TextPrompts`.
    """

    def attach(self, classifier: Classifier) -> None:
        """Start from the words of the classifier's template."""
        super().attach(classifier)
        tokens = classifier.backbone.tokenizer([classifier.template.partition("{")[0]])[0]
        # Between the start token and the end token, which padding of zeros follows.
        words = tokens[1 : int((tokens != 0).sum()) - 1]
        self.in_place = len(words) >= self.length
        if self.in_place:
            start = classifier.text_tower.token_embedding(words[: self.length].to(classifier.backbone.device))
            with torch.no_grad():
                self.tokens[0] = start

    def text_tokens(self, tokens: Tensor) -> Tensor:
        """Return the token ids (C, L) of the texts, with room for the context unless it replaces words."""
        return tokens if self.in_place else super().text_tokens(tokens)
