"""What happens to a plane wave at the boundary of two media.

Fluid–fluid acoustics: only longitudinal waves, pressure and normal velocity continuous. ``v`` is the unit
direction of travel, ``n`` the unit normal on the side the wave comes from (v·n < 0).
"""

from __future__ import annotations

import math

import numpy as np

from ussim.jit import device
from ussim.render.physics.functions import cosine_and_sine, exponential, logarithm
from ussim.render.physics.vector import dot, normalise, tangent

_ZERO = np.float32(0)
_ONE = np.float32(1)
_TWO = np.float32(2)
_FOUR_PI = np.float32(4 * math.pi)


@device
def transmitted_cosine(cos_i, speed_ratio):
    """Cosine of the refracted angle by Snell's law, sin θt = (c2/c1)·sin θi; −1 past the critical angle."""
    sin2_t = speed_ratio * speed_ratio * (_ONE - cos_i * cos_i)
    if sin2_t > _ONE:
        return np.float32(-1)
    return np.float32(math.sqrt(_ONE - sin2_t))


@device
def reflection(cos_i, cos_t, z1, z2):
    """Pressure reflection coefficient (Z2·cos θi − Z1·cos θt)/(Z2·cos θi + Z1·cos θt), signed; 1 if cos θt < 0."""
    if cos_t < _ZERO:
        return _ONE
    a = z2 * cos_i
    b = z1 * cos_t
    return (a - b) / (a + b)


@device
def reflectance(cos_i, cos_t, z1, z2):
    """Intensity reflectance R, the square of the pressure reflection coefficient."""
    r = reflection(cos_i, cos_t, z1, z2)
    return r * r


@device
def is_gas(impedance_mrayl):
    """Whether a medium is a gas, into which no element radiates: a hundredth of water's impedance or less."""
    return impedance_mrayl < np.float32(0.015)


@device
def mirror(vx, vy, vz, nx, ny, nz):
    """Direction of the specularly reflected wave, v − 2(v·n)n."""
    k = _TWO * dot(vx, vy, vz, nx, ny, nz)
    return vx - k * nx, vy - k * ny, vz - k * nz


@device
def refract(vx, vy, vz, nx, ny, nz, cos_t, speed_ratio):
    """Direction of the transmitted wave; ``speed_ratio`` is c2/c1 and cos_t comes from Snell's law."""
    cos_i = -dot(vx, vy, vz, nx, ny, nz)
    k = speed_ratio * cos_i - cos_t
    return normalise(speed_ratio * vx + k * nx, speed_ratio * vy + k * ny, speed_ratio * vz + k * nz)


@device
def rough_normal(nx, ny, nz, exponent, one, other):
    """Normal drawn from the power-cosine lobe about n: cos τ = ξ^(1/(s + 1)), uniform azimuth.

    The density over the hemisphere is (s + 1)/(2π)·cosˢ τ. Draws with two uniform numbers in [0, 1).
    """
    xi = _ONE - one  # in (0, 1]
    cos_tau = exponential(logarithm(xi) / (exponent + _ONE))
    sin_tau = np.float32(math.sqrt(max(_ZERO, _ONE - cos_tau * cos_tau)))
    ax, ay, az = tangent(nx, ny, nz)
    bx, by, bz = ny * az - nz * ay, nz * ax - nx * az, nx * ay - ny * ax
    cosine, sine = cosine_and_sine(other)
    u, w = sin_tau * cosine, sin_tau * sine
    return (
        cos_tau * nx + u * ax + w * bx,
        cos_tau * ny + u * ay + w * by,
        cos_tau * nz + u * az + w * bz,
    )


@device
def coherent_fraction(thickness_mm, wavelength_mm):
    """Share of an echo's power that keeps its phase at an interface of rough depth (Rayleigh criterion).

    A surface whose height is distributed with standard deviation h reflects the coherent power
    exp(−(2kh)²) at normal incidence (Beckmann & Spizzichino 1963), k = 2π/λ.
    """
    g = _FOUR_PI * thickness_mm / wavelength_mm
    return exponential(-g * g)
