"""The metrics again as plain loops over pixels, from their definitions: the tests' oracle."""

import math

SIGMA = 1.4


def _pixels(alpha):
    return [(y, x) for y in range(len(alpha)) for x in range(len(alpha[0]))]


def mad(alpha, truth):
    where = _pixels(alpha)
    return sum(abs(alpha[y][x] - truth[y][x]) for y, x in where) / len(where)


def mse(alpha, truth):
    where = _pixels(alpha)
    return sum((alpha[y][x] - truth[y][x]) ** 2 for y, x in where) / len(where)


def sad(alpha, truth):
    return sum(abs(alpha[y][x] - truth[y][x]) for y, x in _pixels(alpha)) / 1000


def gaussian_derivative():
    """9 x 9 filter, row then column: the x derivative of a 2-D Gaussian that sums to 1."""
    weights = {
        (i, j): math.exp(-(i * i + j * j) / (2 * SIGMA**2))
        for i in range(-4, 5)
        for j in range(-4, 5)
    }
    total = sum(weights.values())
    return {(i, j): -j / SIGMA**2 * value / total for (i, j), value in weights.items()}


def _gradient_at(alpha, y, x, filter_):
    """(along x, along y) at a pixel; pixels outside repeat the nearest one inside."""
    height, width = len(alpha), len(alpha[0])
    along_x = along_y = 0.0
    for (i, j), value in filter_.items():
        row, column = min(max(y + i, 0), height - 1), min(max(x + j, 0), width - 1)
        along_x += value * alpha[row][column]
        row, column = min(max(y + j, 0), height - 1), min(max(x + i, 0), width - 1)
        along_y += value * alpha[row][column]
    return along_x, along_y


def gradient_error(alpha, truth):
    filter_ = gaussian_derivative()
    inside = [(y, x) for y in range(4, len(alpha) - 4) for x in range(4, len(alpha[0]) - 4)]
    total = 0.0
    for y, x in inside:
        ax, ay = _gradient_at(alpha, y, x, filter_)
        gx, gy = _gradient_at(truth, y, x, filter_)
        total += math.sqrt((ax - gx) ** 2 + (ay - gy) ** 2)
    return total / len(inside)


def alphamatting_gradient(alpha, truth):
    filter_ = gaussian_derivative()
    norm = math.sqrt(sum(value**2 for value in filter_.values()))
    filter_ = {where: value / norm for where, value in filter_.items()}
    total = 0.0
    for y, x in _pixels(alpha):
        total += (
            math.hypot(*_gradient_at(alpha, y, x, filter_))
            - math.hypot(*_gradient_at(truth, y, x, filter_))
        ) ** 2
    return total / 1000


def _largest_part(inside):
    """The largest 4-connected set of pixels, by flooding from each pixel in reading order."""
    best, seen = set(), set()
    for start in sorted(inside):
        if start in seen:
            continue
        part, waiting = set(), [start]
        while waiting:
            y, x = waiting.pop()
            if (y, x) in part or (y, x) not in inside:
                continue
            part.add((y, x))
            waiting += [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        seen |= part
        if len(part) > len(best):
            best = part
    return best


def connectivity_error(alpha, truth):
    where = _pixels(alpha)
    level = dict.fromkeys(where)
    for step in range(1, 11):
        threshold = step / 10
        both = {(y, x) for y, x in where if alpha[y][x] >= threshold and truth[y][x] >= threshold}
        part = _largest_part(both)
        for pixel in where:
            if level[pixel] is None and pixel not in part:
                level[pixel] = (step - 1) / 10
    total = 0.0
    for y, x in where:
        connected = 1.0 if level[y, x] is None else level[y, x]
        phi = []
        for value in (alpha[y][x], truth[y][x]):
            distance = value - connected
            phi.append(1 - (distance if distance >= 0.15 else 0))
        total += abs(phi[0] - phi[1])
    return total / 1000


def dtssd(alphas, truths):
    total = 0.0
    for t in range(1, len(alphas)):
        where = _pixels(alphas[t])
        square = 0.0
        for y, x in where:
            ours = alphas[t][y][x] - alphas[t - 1][y][x]
            true = truths[t][y][x] - truths[t - 1][y][x]
            square += (ours - true) ** 2
        total += math.sqrt(square / len(where))
    return total / (len(alphas) - 1)
