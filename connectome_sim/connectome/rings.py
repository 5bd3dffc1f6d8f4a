"""Counts expected from what a neuron is and where it lies on the ring, and whole synapses with exact totals.

Shared by nulls and deviations. Knows no network and no file.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator

from connectome_sim.array_axes import BoolArray, FloatArray, IntArray
from connectome_sim.connectome.connectome import Connectome

PLACES = 32  # places on the ring, 11.25 degrees each: half-tiles and the middles between them, where Delta7 lie
# L_g lies at 45 (g - 1) and R_g at 382.5 - 45 g degrees, so that left and right mirror each other about 337.5 / 2
MIRROR_DEG = 337.5
_OTHER_SIDE = {"L": "R", "R": "L"}


def blocks(connectome: Connectome) -> Iterator[tuple[IntArray, IntArray]]:
    """Neurons (post, pre) of every type pair that has a synapse."""
    index, totals = connectome.type_index, connectome.totals()
    for post, pre in zip(*np.nonzero(totals), strict=True):
        yield np.flatnonzero(index == post), np.flatnonzero(index == pre)


def place(connectome: Connectome) -> IntArray:
    """Place on the ring of each neuron [N], 0 to 31; -1 without an angle."""
    angle = connectome.neurons.ring_angle
    return np.where(np.isfinite(angle), np.round(np.nan_to_num(angle) / (2 * np.pi) * PLACES) % PLACES, -1).astype(
        np.int64
    )


def circular_mean(connectome: Connectome) -> FloatArray:
    """Mean count of all pairs of the same types, presynaptic side and offset on the ring [post, pre].

    Offset and side count only where both neurons have an angle; elsewhere it is the mean of the type pair.
    """
    at = place(connectome)
    offset = np.where((at[:, None] < 0) | (at < 0), -1, (at[:, None] - at) % PLACES)
    side = np.where(offset < 0, -1, _sides(connectome)[None, :])
    return _mean_by(connectome.dense().astype(np.float64), *_pairs(connectome), offset, side)


def mirrored_mean(connectome: Connectome) -> FloatArray:
    """Mean count of all pairs between the same places, averaged with that between their mirror images [post, pre].

    A place is type, dataset type, side and place on the ring; its mirror image has the other side and angle. Where the
    mirror image is empty the place stands for both.
    """
    neurons, at = connectome.neurons, place(connectome)
    image = np.where(at < 0, -1, (round(MIRROR_DEG / 360 * PLACES) - at) % PLACES)
    own = list(zip(neurons.database_type.tolist(), neurons.side.tolist(), at.tolist(), strict=True))
    known = {key: number for number, key in enumerate(dict.fromkeys(own))}
    group = np.array([known[key] for key in own])
    other = np.array(
        [
            known.get((kind, _OTHER_SIDE.get(side, side), mirror), known[kind, side, here])
            for (kind, side, here), mirror in zip(own, image.tolist(), strict=True)
        ]
    )
    member = np.eye(len(known))[group]
    size = member.sum(axis=0)
    mean = (member.T @ connectome.dense() @ member) / np.outer(size, size)
    return (mean[np.ix_(group, group)] + mean[np.ix_(other, other)]) / 2


def ideal_mean(connectome: Connectome) -> FloatArray:
    """The circular mean, averaged with its mirror image: at offset d from the left as at -d from the right."""
    at, sides = place(connectome), _sides(connectome)
    known = (at[:, None] >= 0) & (at >= 0)
    # seen from a presynaptic neuron on the left, the ring runs the other way round
    turn = np.where(sides == 1, -1, 1)[None, :]
    offset = np.where(known, (turn * (at[:, None] - at)) % PLACES, -1)
    lateral = np.where(known & (sides != 0)[None, :], 1, 0)
    return _mean_by(connectome.dense().astype(np.float64), *_pairs(connectome), offset, lateral)


def _sides(connectome: Connectome) -> IntArray:
    return np.select([connectome.neurons.side == "L", connectome.neurons.side == "R"], [1, 2], 0).astype(np.int64)


def _pairs(connectome: Connectome) -> tuple[IntArray, IntArray]:
    index = connectome.type_index
    return np.broadcast_to(index[:, None], (len(index),) * 2), np.broadcast_to(index, (len(index),) * 2)


def _mean_by(counts: FloatArray, *keys: IntArray) -> FloatArray:
    """Each entry replaced by the mean over the entries with the same keys."""
    _, group = np.unique(np.stack([key.ravel() for key in keys]), axis=1, return_inverse=True)
    group = group.ravel()
    mean = np.bincount(group, counts.ravel()) / np.bincount(group)
    return mean[group].reshape(counts.shape)


def whole(expected: FloatArray, connectome: Connectome, random: Generator) -> IntArray:
    """Whole counts with the synapse total of each type pair of ``connectome``, near ``expected`` [post, pre].

    Expected counts of a pair are scaled to its total and rounded down; what is missing goes to entries drawn without
    replacement, in proportion to what they lost.
    """
    counts, dense = np.zeros(expected.shape, dtype=np.int64), connectome.dense()
    for post, pre in blocks(connectome):
        at = np.ix_(post, pre)
        total, mean = int(dense[at].sum()), expected[at]
        mean = mean * (total / mean.sum())
        low = np.floor(mean + 1e-9).astype(np.int64)
        lost, missing = np.clip(mean - low, 0, None).ravel(), total - int(low.sum())
        if missing > 0:
            chance = lost + 1e-12
            chosen = random.choice(lost.size, size=missing, replace=False, p=chance / chance.sum())
            low.ravel()[chosen] += 1
        counts[at] = low
    return counts


def off_diagonal(post: IntArray, pre: IntArray) -> BoolArray:
    """Which pairs of a block are of two different neurons [post, pre]."""
    return post[:, None] != pre
