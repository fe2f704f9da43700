"""Rounds a weight matrix to blocks of integers so that the matrix's outputs change least.

What a matrix's output loses is dw H dwᵀ, where H = mean of x xᵀ over its inputs x. Scales and zero points are searched
for by the diagonal of H; then one input after the other is rounded, the largest of the diagonal first, and what
rounding it loses is put into the weights of the inputs that are still to come (GPTQ, arXiv 2210.17323, with the
blocks' scales fixed beforehand so that inputs can be taken in any order).
"""

from dataclasses import dataclass

import numpy as np

SHRINKS = np.linspace(1.0, 0.7, 16, dtype=np.float32)  # of a block's range, that are tried
DAMPING = 0.05  # of the mean of H's diagonal, added to it: a short text says little about rare inputs
COLUMNS = 64  # inputs that are rounded before the rest of the matrix hears of it


@dataclass(frozen=True)
class Blocks:
    """A weight [N, K] as MatMulNBits takes it: value = (code - zero point) * scale, `block` values sharing both."""

    bits: int  # 4 or 8
    block: int
    k: int
    codes: np.ndarray  # uint8 [N, ceil(K / block), block]
    scales: np.ndarray  # float32 [N, ceil(K / block)]
    zero_points: np.ndarray | None  # uint8 [N, ceil(K / block)]; None: 2**(bits - 1) everywhere

    def packed_codes(self) -> np.ndarray:
        """uint8 [N, ceil(K / block), block * bits / 8]; of a 4-bit pair the first value is the low nibble."""
        return self.codes if self.bits == 8 else self.codes[..., 0::2] | self.codes[..., 1::2] << 4

    def packed_zero_points(self) -> np.ndarray | None:
        """uint8 [N, ceil(ceil(K / block) * bits / 8)], packed alike; an odd last high nibble is 0."""
        if self.bits == 8 or self.zero_points is None:
            return self.zero_points
        padded = np.pad(self.zero_points, ((0, 0), (0, self.zero_points.shape[1] % 2)))
        return padded[:, 0::2] | padded[:, 1::2] << 4

    def values(self) -> np.ndarray:
        """float32 [N, K]."""
        zero = np.float32(1 << (self.bits - 1)) if self.zero_points is None else self.zero_points[..., None]
        values = (self.codes.astype(np.float32) - zero) * self.scales[..., None]
        return values.reshape(len(values), -1)[:, : self.k]


def round_symmetric(weight: np.ndarray, bits: int, block: int) -> Blocks:
    """The nearest codes, no zero points. The scale is signed: the value of largest magnitude in a block takes the code
    0, whose range reaches one step further. weight: float32 [N, K].
    """
    zero = 1 << (bits - 1)
    blocks = _split(weight, block)
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(-1, keepdims=True), -1)
    scales = extreme / -zero
    codes = np.rint(blocks / np.where(scales == 0, 1, scales)) + zero
    codes = np.clip(codes, 0, 2 * zero - 1).astype(np.uint8)
    return Blocks(bits, block, weight.shape[1], codes, scales[..., 0], None)


def round_to_inputs(weight: np.ndarray, bits: int, block: int, moments: list[np.ndarray] | None) -> Blocks:
    """Codes with zero points, for inputs of these moments.

    Parameters: weight: float32 [N, K]; moments: H as float32 [K1, K1], [K2, K2], ... down its diagonal, K1 + K2 + ... =
                K, each a multiple of `block` but the last; None: inputs unknown, every one of them alike.
    Cost:       N * K * max(Ki) multiplications and sum(Ki**3) for the inverses; 3 copies of the weight.
    """
    if moments is None:
        moments = [np.eye(block, dtype=np.float32)] * (-(-weight.shape[1] // block))
    parts, start = [], 0
    for h in moments:
        w = weight[:, start : start + len(h)]
        start += w.shape[1]
        parts.append(_round_part(w, bits, block, h[: w.shape[1], : w.shape[1]]))
    codes, scales, zeros = (np.concatenate(x, axis=1) for x in zip(*parts, strict=True))
    return Blocks(bits, block, weight.shape[1], codes, scales, zeros)


def _round_part(weight: np.ndarray, bits: int, block: int, h: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes [N, blocks, block], scales and zero points [N, blocks] of some inputs' weights [N, K], H [K, K] theirs."""
    n, k = weight.shape
    h = h.astype(np.float64)
    diagonal = h.diagonal()
    h[np.arange(k), np.arange(k)] += DAMPING * diagonal.mean() + np.finfo(np.float32).tiny
    scales, zeros = _search(weight, bits, block, h.diagonal().astype(np.float32))
    order = np.argsort(-h.diagonal(), kind="stable")
    # Rows are inputs from here on: what one of them owes the others is then a sum of contiguous vectors.
    w = np.ascontiguousarray(weight.T[order])
    s, z = (np.repeat(x, block, axis=1)[:, :k].T[order] for x in (scales, zeros))
    u = np.linalg.cholesky(np.linalg.inv(h[order][:, order])).T.astype(np.float32)
    codes = np.zeros((scales.shape[1] * block, n), np.uint8)
    errors = np.empty((COLUMNS, n), np.float32)
    for start in range(0, k, COLUMNS):
        stop = min(start + COLUMNS, k)
        for i in range(start, stop):
            code = np.clip(np.rint(w[i] / s[i]) + z[i], 0, (1 << bits) - 1)
            codes[order[i]] = code
            error = np.divide(w[i] - (code - z[i]) * s[i], u[i, i], out=errors[i - start])
            w[i + 1 : stop] -= u[i, i + 1 : stop, None] * error
        w[stop:] -= u[start:stop, stop:].T @ errors[: stop - start]
    return codes.T.reshape(n, -1, block), scales, zeros.astype(np.uint8)


def _search(weight: np.ndarray, bits: int, block: int, importance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scales and zero points, float32 [N, blocks], that lose least of weight [N, K] by importance [K]."""
    top = (1 << bits) - 1
    d = _split(importance[None], block)
    scales, zeros = [], []
    for x in np.array_split(_split(weight, block), -(-len(weight) // 1024)):
        low, high = np.minimum(x.min(-1, keepdims=True), 0), np.maximum(x.max(-1, keepdims=True), 0)
        least = np.full(low.shape, np.inf, np.float32)
        scale, zero = np.ones_like(low), np.zeros_like(low)
        for shrink in SHRINKS:
            step = np.where(high > low, (high - low) * (shrink / top), 1)
            z = np.clip(np.rint(-low * shrink / step), 0, top)
            code = np.clip(np.rint(x / step) + z, 0, top) - z
            dc = d * code
            square = (dc * code).sum(-1, keepdims=True)
            step = np.where(square > 0, (dc * x).sum(-1, keepdims=True) / np.where(square > 0, square, 1), step)
            loss = (d * (code * step - x) ** 2).sum(-1, keepdims=True)
            better = loss < least
            least, scale, zero = (
                np.where(better, a, b) for a, b in zip((loss, step, z), (least, scale, zero), strict=True)
            )
        scales.append(scale[..., 0])
        zeros.append(zero[..., 0])
    scales = np.concatenate(scales)
    return np.where(scales == 0, 1, scales), np.concatenate(zeros)


def _split(weight: np.ndarray, block: int) -> np.ndarray:
    """[N, K] -> [N, ceil(K / block), block], zeros behind."""
    n, k = weight.shape
    padded = np.zeros((n, -(-k // block) * block), np.float32)
    padded[:, :k] = weight
    return padded.reshape(n, -1, block)
