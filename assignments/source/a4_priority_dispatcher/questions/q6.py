"""What a cure costs the high class, by the conservation law (Kleinrock 1965), and the ways to get it wrong."""

from random import Random


def drawn(student):
    """High and low tasks a minute, the mean waits in seconds under strict priority, and that of low with a cure."""
    draw = Random(f"{student} pays")
    high, low = draw.randrange(30, 43), draw.randrange(10, 15)
    in_service = (high + low) / 60 / 2
    strict_high = round(in_service / (1 - high / 60), 2)
    strict_low = round(in_service / (1 - high / 60) / (1 - (high + low) / 60), 2)
    return high, low, strict_high, strict_low, round(strict_low * draw.uniform(0.55, 0.8), 2)


def measure(rng, student):
    high, low, strict_high, strict_low, cured_low = drawn(student)
    return strict_high + low / high * (strict_low - cured_low)


def nothing(rng, student):
    return drawn(student)[2]


def one_for_one(rng, student):
    _, _, strict_high, strict_low, cured_low = drawn(student)
    return strict_high + strict_low - cured_low


def upside_down(rng, student):
    high, low, strict_high, strict_low, cured_low = drawn(student)
    return strict_high + high / low * (strict_low - cured_low)


def added(rng, student):
    return measure(rng, student) - drawn(student)[2]


def by_all(rng, student):
    high, low, strict_high, strict_low, cured_low = drawn(student)
    return strict_high + low / (high + low) * (strict_low - cured_low)


def both_gain(rng, student):
    return 2 * drawn(student)[2] - measure(rng, student)
