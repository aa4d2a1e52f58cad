"""Vectors of words: from a table, and from the characters they are spelt with."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..baselines import SharedLSTM
from ..check import check_dropouts, check_numbers, check_option

CHARACTERS = ("cnn", "lstm", "none")


class CharacterCNN(nn.Module):
    r"""Vectors of words from windows of their characters (`"End-to-end Sequence Labeling via
    Bi-directional LSTM-CNNs-CRF" <https://arxiv.org/abs/1603.01354>`_).

    Dropout on the characters' vectors, a convolution over windows centred on each character, with
    zeros beyond both ends, and for each filter the maximum over the word.

    Args:
        num_characters: Number of characters; 0 is padding.
        embedding_size: Size of a character's vector.
        out_channels: Number of filters.
        kernel_size: Characters in a window, an odd number.
        dropout: Dropout on characters' vectors.

    Shapes:
        - **input:** character numbers :math:`(W, C)`, 0 beyond a word's own
        - **output:** :math:`(W, \mathrm{out\_channels})`, zeros for a word without characters

    Raises:
        ValueError: For a size below 1, a window of even size, or a dropout outside [0, 1).
    """

    def __init__(
        self,
        num_characters: int,
        embedding_size: int = 30,
        out_channels: int = 30,
        kernel_size: int = 3,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_numbers(num_characters=num_characters, embedding_size=embedding_size)
        check_numbers(out_channels=out_channels, kernel_size=kernel_size)
        check_dropouts(dropout=dropout)
        if kernel_size % 2 == 0:
            raise ValueError(f"expected an odd kernel_size, got {kernel_size}")
        self.output_size = out_channels
        self.embedding = nn.Embedding(num_characters, embedding_size, padding_idx=0)
        self.conv = nn.Conv1d(embedding_size, out_channels, kernel_size, padding=kernel_size // 2)
        self.dropout = nn.Dropout(dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew: characters uniformly, as in the paper."""
        _reset(self.embedding)
        self.conv.reset_parameters()

    def forward(self, characters: Tensor) -> Tensor:
        """Read words; shapes as in the class description."""
        x = self.dropout(self.embedding(characters))
        found = self.conv(x.transpose(1, 2)).transpose(1, 2)  # [W, C, F]
        real = (characters != 0).unsqueeze(2)
        best = found.masked_fill(~real, -torch.inf).amax(1)
        return best.masked_fill(~real.any(1), 0)


class CharacterLSTM(nn.Module):
    r"""Vectors of words from an LSTM over their characters (`"Neural Architectures for Named
    Entity Recognition" <https://arxiv.org/abs/1603.01360>`_).

    The last states of both directions: that of the forward one after the last character, that of
    the backward one after the first.

    Args:
        num_characters: Number of characters; 0 is padding.
        embedding_size: Size of a character's vector.
        hidden_size: Size of a state of each direction.
        dropout: Dropout on characters' vectors.

    Shapes:
        - **input:** character numbers :math:`(W, C)`, 0 beyond a word's own
        - **output:** :math:`(W, 2 \cdot \mathrm{hidden\_size})`, zeros for a word without
          characters

    Raises:
        ValueError: For a size below 1, or a dropout outside [0, 1).
    """

    def __init__(
        self,
        num_characters: int,
        embedding_size: int = 25,
        hidden_size: int = 25,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_numbers(num_characters=num_characters, embedding_size=embedding_size)
        check_numbers(hidden_size=hidden_size)
        check_dropouts(dropout=dropout)
        self.output_size = 2 * hidden_size
        self.embedding = nn.Embedding(num_characters, embedding_size, padding_idx=0)
        # One task: its recurrence trains long packed sequences faster than torch.nn.LSTM.
        self.lstm = SharedLSTM(embedding_size, hidden_size, 1, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        _reset(self.embedding)
        self.lstm.reset_parameters()

    def forward(self, characters: Tensor) -> Tensor:
        """Read words; shapes as in the class description."""
        size = (characters != 0).sum(1)
        x = self.dropout(self.embedding(characters))
        task = torch.zeros(len(characters), dtype=torch.long)
        _, state = self.lstm(x, size.clamp(min=1).cpu(), task)
        return torch.cat(list(state.h), 1).masked_fill((size == 0).unsqueeze(1), 0)


class WordEmbedding(nn.Module):
    r"""Vectors of words: those of a table beside those made of their characters, with dropout.

    Characters are read once for each distinct word of a batch, which then shares its dropout of
    characters wherever it stands.

    Args:
        num_words: Number of words V; 0 is padding, whose vector is zero.
        embedding_size: Size of a word's own vector.
        characters: What reads the characters: :class:`CharacterCNN`, :class:`CharacterLSTM` or
            another module with an ``output_size``, called as they are; ``None``: words alone.
        dropout: Dropout on the joined vectors.
        vectors: ``[V, embedding_size]``, vectors to start from; by default they are drawn
            uniformly, with variance 1 / embedding_size.

    Attributes:
        output_size: Size E of a vector, characters included.

    Shapes:
        - **input:** word numbers :math:`(B, T)` and character numbers :math:`(B, T, C)`
        - **output:** :math:`(B, T, E)`, zeros at padding

    Raises:
        ValueError: For a size below 1, a dropout outside [0, 1), or vectors of another size.

    Example:
        >>> words = WordEmbedding(100, 8, CharacterCNN(30, out_channels=6))
        >>> tokens, characters = torch.tensor([[5, 9, 0]]), torch.tensor([[[3, 4], [7, 0], [0, 0]]])
        >>> words(tokens, characters).shape
        torch.Size([1, 3, 14])
    """

    def __init__(
        self,
        num_words: int,
        embedding_size: int = 100,
        characters: nn.Module | None = None,
        *,
        dropout: float = 0.0,
        vectors: Tensor | None = None,
    ) -> None:
        super().__init__()
        check_numbers(num_words=num_words, embedding_size=embedding_size)
        check_dropouts(dropout=dropout)
        self.embedding = nn.Embedding(num_words, embedding_size, padding_idx=0)
        self.characters = characters
        more = 0 if characters is None else int(characters.output_size)  # type: ignore[arg-type]
        self.output_size = embedding_size + more
        self.dropout = nn.Dropout(dropout)
        _reset(self.embedding)
        if vectors is not None:
            self.load_vectors(vectors)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        _reset(self.embedding)
        if self.characters is not None:
            self.characters.reset_parameters()  # type: ignore[operator]

    @torch.no_grad()
    def load_vectors(self, vectors: Tensor) -> None:
        """Start from vectors ``[V, embedding_size]``; that of padding stays 0.

        Raises:
            ValueError: If they are of another size.
        """
        load_vectors(self.embedding, vectors, self.embedding.num_embeddings)

    def forward(self, tokens: Tensor, characters: Tensor | None = None) -> Tensor:
        """Look words up; shapes as in the class description.

        Raises:
            ValueError: If there are no characters to read, or sizes do not fit.
        """
        x = self.embedding(tokens)
        if self.characters is None:
            return self.dropout(x)
        if characters is None or characters.dim() != 3 or characters.shape[:2] != tokens.shape:
            got = None if characters is None else list(characters.shape)
            raise ValueError(f"expected characters of shape {[*tokens.shape, 'C']}, got {got}")
        spelling, place = distinct(characters.flatten(0, 1))
        spelt = self.characters(spelling)[place]
        return self.dropout(torch.cat([x, spelt.view(*tokens.shape, -1)], -1))


def build_characters(name: str, num_characters: int, size: int) -> nn.Module | None:
    """A reader of characters by its name, with vectors of at least ``size`` for a word.

    Args:
        name: ``"cnn"`` (:class:`CharacterCNN`), ``"lstm"`` (:class:`CharacterLSTM`), ``"none"``.
        num_characters: Number of characters.
        size: Size of a word's vector; with an LSTM, an even number.

    Raises:
        ValueError: For an unknown name, or a size that does not fit.
    """
    check_option("characters", name, CHARACTERS)
    if name == "none":
        return None
    if name == "cnn":
        return CharacterCNN(num_characters, out_channels=size)
    if size % 2:
        raise ValueError(f"expected an even size for two directions, got {size}")
    return CharacterLSTM(num_characters, hidden_size=size // 2)


def distinct(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct rows of ``[n, C]`` integers, and where each row stands among them.

    Columns that are 0 everywhere are cut off.
    """
    # By a hash, whose collisions show: sorting numbers is many times faster than sorting rows.
    columns = torch.arange(1, rows.size(1) + 1, device=rows.device)
    factor = (columns * 0x9E3779B97F4A7C1 + 0x632BE59BD9B4E01) | 1
    _, place = torch.unique((rows * (factor ^ (factor >> 29))).sum(1), return_inverse=True)
    count = int(place.max()) + 1 if len(place) else 0
    first = place.new_empty(count).scatter_(0, place, torch.arange(len(place), device=rows.device))
    found = rows[first]
    if not torch.equal(found[place], rows):
        found, place = torch.unique(rows, dim=0, return_inverse=True)
    used = (found != 0).any(0).nonzero()
    return found[:, : int(used.max()) + 1 if len(used) else 1], place


@torch.no_grad()
def load_vectors(embedding: nn.Embedding, vectors: Tensor, num_words: int) -> None:
    """Put vectors ``[num_words, E]`` into a table, or into several that stand below each other.

    The vector of padding stays 0.

    Raises:
        ValueError: If they are of another size, or not finite.
    """
    size = (num_words, embedding.embedding_dim)
    if tuple(vectors.shape) != size:
        raise ValueError(f"expected vectors of shape {list(size)}, got {list(vectors.shape)}")
    if not bool(vectors.isfinite().all()):
        row = int((~vectors.isfinite()).any(1).nonzero()[0])
        raise ValueError(f"expected finite vectors, that of word {row} is not")
    tables = embedding.weight.view(-1, *size)
    tables.copy_(vectors)
    tables[0, 0] = 0


@torch.no_grad()
def _reset(embedding: nn.Embedding) -> None:
    """Draw vectors uniformly, with variance 1 / size; that of padding is 0."""
    bound = math.sqrt(3 / embedding.embedding_dim)
    embedding.weight.uniform_(-bound, bound)[0] = 0
