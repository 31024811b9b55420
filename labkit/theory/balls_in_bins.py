"""Balls in bins: how tasks spread over partitions when each one lands in a partition drawn at random.

Balls are tasks (or keys), bins are partitions, all equally likely unless shares are given. Counts are pure
numbers. Textbook: Mitzenmacher & Upfal, "Probability and Computing", chapter 5. Here is also what growing a topic does
to keys that are placed by hash modulo the number of partitions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from labkit.parameter_checks import Count, Share
from labkit.parameters import checked

#: The chance of a fullest bin so full that its mean need not count it.
NEGLIGIBLE = 1e-12

Shares = npt.NDArray[np.float64]


@checked
def mean_load(balls: int, bins: Count) -> float:
    """Balls expected in each bin: m/n."""
    return balls / bins


@checked
def load_deviation(balls: int, bins: Count, key_shares: Sequence[float] | Shares | None = None) -> float:
    """Standard deviation of one bin's balls: sqrt(m (1/n) (1 - 1/n)), the binomial one.

    With `key_shares` not balls but keys are thrown, and all balls of a key go where the key went: the
    variance grows by the factor 1 + (m - 1) sum(share^2). That is the law of total variance over a random
    share of a bin, whose mean is 1/n and whose variance is (1/n) (1 - 1/n) sum(share^2).
    """
    clustering = 0.0 if key_shares is None else float(np.square(key_shares).sum())
    return math.sqrt(balls * (1 / bins) * (1 - 1 / bins) * (1 + (balls - 1) * clustering))


@checked
def load_band(balls: int, bins: Count, probability: Share = 0.95) -> tuple[int, int]:
    """The range of one bin's balls, ends included, which holds at least with this probability.

    Exact quantiles of the binomial distribution B(m, 1/n), with equal tails. Of n bins, about
    n (1 - probability) lie outside.
    """
    return share_band(balls, 1 / bins, probability)


@checked
def share_band(balls: int, share: Share, probability: Share = 0.95) -> tuple[int, int]:
    """As `load_band`, for a bin that gets this share of the balls."""
    # a second's import, which nothing else here needs
    from scipy.stats import binom

    tail = (1 - probability) / 2
    return int(binom.ppf(tail, balls, share)), int(binom.ppf(1 - tail, balls, share))


@checked
def fullest_load(balls: int, bins: Count) -> float:
    """Balls in the fullest bin, about: m/n + sqrt(2 m ln n / n), for m much larger than n (ln n)^3.

    Raab & Steger 1998, "Balls into Bins - A Simple and Tight Analysis". It holds in the limit of many bins;
    with few it is too high, as `expected_fullest_load` shows.
    """
    return balls / bins + math.sqrt(2 * balls * math.log(bins) / bins)


@checked
def expected_fullest_load(balls: int, bins: Count) -> float:
    """Balls expected in the fullest bin, exactly but for rounding: the sum of P(fullest > k) over all k >= 0."""
    from scipy.stats import binom

    at_least = math.ceil(balls / bins)  # some bin has that many
    # beyond this, even the sum of all bins' chances is negligible
    last = int(binom.isf(NEGLIGIBLE / bins, balls, 1 / bins))
    return at_least + sum(1 - fullest_load_cdf(k, balls, bins) for k in range(at_least, last + 1))


@checked
def fullest_load_cdf(k: int, balls: int, bins: Count) -> float:
    """P(the fullest bin has k balls or fewer), exactly but for rounding.

    Levin 1981, "A representation for multinomial cumulative distribution functions", Annals of Statistics 9:
    the bins are independent Poisson numbers under the condition that their sum is m, so the probability is
    P(sum of n Poisson numbers cut off at k is m) / P(Poisson(m) = m). The sum comes from a Fourier transform.
    """
    if k * bins < balls:
        return 0.0
    if k >= balls:
        return 1.0
    log_factorials = np.concatenate(([0.0], np.log(np.arange(1, k + 1)).cumsum()))
    cut_off = np.exp(np.arange(k + 1) * math.log(balls / bins) - balls / bins - log_factorials)
    # long enough that no other sum wraps around onto m; a power of two is quick
    length = 1 << max(balls, k * bins - balls).bit_length()
    sums = np.fft.irfft(np.fft.rfft(cut_off, length) ** bins, length)
    at_mean = math.exp(balls * math.log(balls) - balls - math.lgamma(balls + 1))
    return min(max(float(sums[balls]) / at_mean, 0.0), 1.0)


@checked
def expected_empty_bins(balls: int, bins: Count) -> float:
    """Bins expected to stay empty: n (1 - 1/n)^m. With keys as balls, the partitions that no task reaches."""
    return bins * (1 - 1 / bins) ** balls


@checked
def zipf_shares(keys: int, exponent: float = 1.0) -> Shares:
    """Shares of the keys from the most to the least frequent, in proportion to 1/rank^exponent; they sum to 1.

    Zipf's law; exponent 0 gives equal shares, 1 the classical law. Shape (keys,).
    """
    weights = np.arange(1, keys + 1, dtype=np.float64) ** -exponent
    return np.asarray(weights / weights.sum())


@checked
def bin_shares(key_shares: Sequence[float] | Shares, bin_of_key: Sequence[int], bins: Count) -> Shares:
    """The share of each bin when key i, with its share of the balls, goes to `bin_of_key[i]`. Shape (bins,)."""
    return np.asarray(np.bincount(bin_of_key, weights=key_shares, minlength=bins), dtype=np.float64)


@checked
def share_of_keys_moved(before: Count, after: Count) -> float:
    """The share of keys whose partition changes when a topic grows from `before` to `after` partitions.

    A key with hash h stays if h mod n = h mod m. Over one period of lcm(n, m) hashes, which are equally
    likely, these are h = 0 … n - 1 alone (n < m, Chinese remainder theorem), so 1 - n / lcm(n, m) move.
    """
    return 1 - min(before, after) / math.lcm(before, after)
