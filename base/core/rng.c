/* rng.c - Philox4x32-10; see rng.h. Pinned by the known answers of the Random123 distribution. */
#include "base/core/rng.h"

#include <math.h>

enum { ROUNDS = 10 };

uint64_t lorac_rng_key(uint64_t seed, const char *name)
{
    uint64_t h = 0xCBF29CE484222325U; // FNV-1a over the name, then SplitMix64's mixer with the seed
    for (const char *c = name; *c; c++) {
        h = (h ^ (unsigned char)*c) * 0x100000001B3U;
    }
    uint64_t z = h + seed * 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

void lorac_rng_bits(uint32_t out[4], uint64_t key, uint64_t step, uint64_t index)
{
    uint32_t c0 = (uint32_t)index;
    uint32_t c1 = (uint32_t)(index >> 32);
    uint32_t c2 = (uint32_t)step;
    uint32_t c3 = (uint32_t)(step >> 32);
    uint32_t k0 = (uint32_t)key;
    uint32_t k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53U * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57U * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        uint32_t n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9U;
        k1 += 0xBB67AE85U;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint64_t lorac_rng_u64(uint64_t key, uint64_t step, uint64_t index)
{
    uint32_t bits[4];
    lorac_rng_bits(bits, key, step, index);
    return (uint64_t)bits[1] << 32 | bits[0];
}

double lorac_rng_uniform(uint64_t key, uint64_t step, uint64_t index)
{
    return (double)(lorac_rng_u64(key, step, index) >> 11) * 0x1p-53;
}

double lorac_rng_normal(uint64_t key, uint64_t step, uint64_t index)
{
    uint32_t bits[4];
    lorac_rng_bits(bits, key, step, index);
    double u = ((double)bits[0] + ((double)bits[1] + 0.5) * 0x1p-32) * 0x1p-32; // (0,1)
    double angle = 6.283185307179586476925 * ((double)bits[2] * 0x1p-32);
    return sqrt(-2.0 * log(u)) * cos(angle);
}

size_t lorac_rng_below(uint64_t key, uint64_t step, uint64_t index, size_t n)
{
    return (size_t)(lorac_rng_uniform(key, step, index) * (double)n); // bias below n / 2^53
}

void lorac_rng_shuffle(uint32_t *order, size_t n, uint64_t key, uint64_t step)
{
    for (size_t i = 0; i < n; i++) {
        order[i] = (uint32_t)i;
    }
    for (size_t i = n; i > 1; i--) {
        size_t j = lorac_rng_below(key, step, i, i);
        uint32_t keep = order[i - 1];
        order[i - 1] = order[j];
        order[j] = keep;
    }
}
