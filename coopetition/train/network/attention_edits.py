"""Edits of attention: how interventions on heads change scores and patterns.

Shapes: scores and patterns of a layer are ``(M, B, H, rows, T)``, where the rows are the tokens
from ``first`` to the last (all of them, or the query's alone in the last layer).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Matches:
    """Which labels of a batch, in context ``(M, B, L)``, match the query's target ``(M, B)``."""

    context: Tensor
    target: Tensor | None

    def matching(self) -> Tensor:
        """Which tokens are labels equal to the target: bool, ``(M, B, T)``."""
        if self.target is None:
            raise ValueError(
                "target = None: an intervention looks for the label that matches the query; give "
                "network(examples, labels, target)"
            )
        match = self.context == self.target.unsqueeze(-1)
        tokens = torch.stack((torch.zeros_like(match), match), dim=-1).flatten(-2)
        return F.pad(tokens, (0, 1))

    def other_labels(self) -> Tensor:
        """Which tokens are labels that differ from the target: bool, ``(M, B, T)``."""
        match = self.matching()
        label = torch.arange(match.shape[-1], device=match.device) % 2 == 1
        return label & ~match


class HeadEdit:
    """An edit of some heads, (layer, head) pairs; the base class changes nothing.

    ``value`` is the edit's number, ``n_heads`` the heads of a layer, ``length`` the tokens of the
    longest sequence.
    """

    def __init__(
        self,
        heads: Sequence[tuple[int, int]],
        value: float,
        *,
        n_heads: int,
        length: int,
        device: torch.device,
    ) -> None:
        self.value = value
        self.masks: dict[int, Tensor] = {}
        for layer in {layer for layer, _ in heads}:
            mask = torch.zeros(n_heads, dtype=torch.bool)
            mask[[head for its_layer, head in heads if its_layer == layer]] = True
            self.masks[layer] = mask.view(-1, 1, 1).to(device)
        self.previous = torch.eye(length, device=device).roll(-1, 1)
        self.previous[0] = 0
        self.itself = torch.eye(length, device=device)

    def edit_scores(self, mask: Tensor, scores: Tensor, first: int, labels: Matches) -> Tensor:
        """Scores with the heads of `mask`, ``(H, 1, 1)``, changed."""
        return scores

    def edit_patterns(self, mask: Tensor, patterns: Tensor, first: int, labels: Matches) -> Tensor:
        """Patterns with the heads of `mask` changed."""
        return patterns


class Ablation(HeadEdit):
    """The heads add nothing to the residual stream."""

    def edit_patterns(self, mask: Tensor, patterns: Tensor, first: int, labels: Matches) -> Tensor:
        return patterns.masked_fill(mask, 0.0)


class Temperature(HeadEdit):
    """Scores are divided by a temperature: softer above 1, sharper below."""

    def edit_scores(self, mask: Tensor, scores: Tensor, first: int, labels: Matches) -> Tensor:
        return torch.where(mask, scores / self.value, scores)


class ForcedPreviousToken(HeadEdit):
    """A share `value` of attention goes to the token before, the rest to the token itself.

    The first token, having none before it, attends to itself.
    """

    def edit_patterns(self, mask: Tensor, patterns: Tensor, first: int, labels: Matches) -> Tensor:
        tokens = patterns.shape[-1]
        before = self.previous[first:tokens, :tokens]
        itself = self.itself[first:tokens, :tokens]
        none_before = 1 - before.sum(-1, keepdim=True)
        forced = self.value * before + (1 - self.value + self.value * none_before) * itself
        return torch.where(mask, forced, patterns)


class ForbiddenPreviousToken(HeadEdit):
    """No attention to the token before: scores of −∞."""

    def edit_scores(self, mask: Tensor, scores: Tensor, first: int, labels: Matches) -> Tensor:
        tokens = scores.shape[-1]
        before = self.previous[first:tokens, :tokens] > 0
        return scores.masked_fill(mask & before, float("-inf"))


class ForcedMatchingLabel(HeadEdit):
    """The query gives a share `value` of its attention to the labels that match its own.

    Matching labels share it equally, the other labels the rest. Where no label matches, or all do,
    the labels that exist get everything; without labels the pattern stays.
    """

    def edit_patterns(self, mask: Tensor, patterns: Tensor, first: int, labels: Matches) -> Tensor:
        match, other = labels.matching().float(), labels.other_labels().float()
        matches, others = match.sum(-1, keepdim=True), other.sum(-1, keepdim=True)
        share = torch.where(others > 0, self.value, 1.0)
        rest = torch.where(matches > 0, 1 - share, 1.0)
        forced = share * match / matches.clamp_min(1) + rest * other / others.clamp_min(1)
        forced = forced[:, :, None, None, :]
        query = self.itself[first : patterns.shape[-1], patterns.shape[-1] - 1, None] > 0
        return torch.where(mask & query, forced, patterns)


class ForbiddenMatchingLabel(HeadEdit):
    """The query never attends to a label that matches its own."""

    def edit_scores(self, mask: Tensor, scores: Tensor, first: int, labels: Matches) -> Tensor:
        tokens = scores.shape[-1]
        query = self.itself[first:tokens, tokens - 1, None] > 0
        match = labels.matching()[:, :, None, None, :]
        return scores.masked_fill(mask & query & match, float("-inf"))


class LayerEdits:
    """The edits of one layer for one batch, applied in order."""

    def __init__(self, layer: int, edits: Sequence[HeadEdit], labels: Matches) -> None:
        self.edits = [(edit, edit.masks[layer]) for edit in edits if layer in edit.masks]
        self.labels = labels

    def scores(self, scores: Tensor, first: int) -> Tensor:
        """Scores after every edit."""
        for edit, mask in self.edits:
            scores = edit.edit_scores(mask, scores, first, self.labels)
        return scores

    def patterns(self, patterns: Tensor, first: int) -> Tensor:
        """Patterns after every edit."""
        for edit, mask in self.edits:
            patterns = edit.edit_patterns(mask, patterns, first, self.labels)
        return patterns
