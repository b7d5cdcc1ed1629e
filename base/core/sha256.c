/* sha256.c - see sha256.h. Names and section numbers are those of FIPS 180-4. */
#include "base/core/sha256.h"

#include <string.h>

/* Section 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64
 * primes. */
static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* Section 5.3.3: the same of the square roots of the first 8 primes. */
static const uint32_t H0[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static uint32_t rotr(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

/* Section 6.2.2, the four steps for one block. */
static void compress(uint32_t h[8], const unsigned char block[64])
{
    uint32_t w[64];
    for (size_t t = 0; t < 16; t++) { // big-endian words
        const unsigned char *p = block + 4 * t;
        w[t] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    }
    for (size_t t = 16; t < 64; t++) {
        uint32_t s0 = rotr(w[t - 15], 7) ^ rotr(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = rotr(w[t - 2], 17) ^ rotr(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }
    uint32_t v[8]; // a, b, c, d, e, f, g, h
    memcpy(v, h, sizeof v);
    for (size_t t = 0; t < 64; t++) {
        uint32_t sum1 = rotr(v[4], 6) ^ rotr(v[4], 11) ^ rotr(v[4], 25);
        uint32_t ch = (v[4] & v[5]) ^ (~v[4] & v[6]);
        uint32_t t1 = v[7] + sum1 + ch + K[t] + w[t];
        uint32_t sum0 = rotr(v[0], 2) ^ rotr(v[0], 13) ^ rotr(v[0], 22);
        uint32_t maj = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + sum0 + maj;
    }
    for (size_t i = 0; i < 8; i++) {
        h[i] += v[i];
    }
}

void lorac_sha256_init(struct lorac_sha256 *s)
{
    *s = (struct lorac_sha256){0};
    memcpy(s->h, H0, sizeof s->h);
}

void lorac_sha256_add(struct lorac_sha256 *s, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    size_t used = s->n % sizeof s->block;
    s->n += n;
    if (n < sizeof s->block - used) { // no block fills up
        if (n) { memcpy(s->block + used, p, n); }
        return;
    }
    size_t rest = sizeof s->block - used;
    memcpy(s->block + used, p, rest);
    compress(s->h, s->block);
    for (p += rest, n -= rest; n >= sizeof s->block; n -= sizeof s->block) {
        compress(s->h, p);
        p += sizeof s->block;
    }
    if (n) { memcpy(s->block, p, n); }
}

void lorac_sha256_hex(char out[65], struct lorac_sha256 *s)
{
    static const char digits[] = "0123456789abcdef";
    // section 5.1.1: a one bit, zeros up to 8 bytes before the end of a block, the length in bits
    uint64_t bits = s->n * 8;
    unsigned char pad[64] = {0x80};
    lorac_sha256_add(s, pad, 1 + (119 - s->n % 64) % 64);
    unsigned char length[8];
    for (size_t i = 0; i < 8; i++) {
        length[i] = (unsigned char)(bits >> (56 - 8 * i));
    }
    lorac_sha256_add(s, length, sizeof length);
    for (size_t i = 0; i < 64; i++) {
        out[i] = digits[s->h[i / 8] >> (28 - 4 * (i % 8)) & 15u];
    }
    out[64] = '\0';
}
