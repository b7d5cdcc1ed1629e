/*
 * rng.h - random numbers as a function: no state, no order, no seed to restore.
 *
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3").
 * A stream is a 64-bit key made from the run's seed and a name; a draw is its 128-bit counter
 * (step, index). The same four always give the same bits, on any machine and any thread.
 */
#ifndef LORAC_BASE_CORE_RNG_H
#define LORAC_BASE_CORE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* The key of the stream called `name` under `seed`: "shuffle", "dropout", a tensor's name, ... */
uint64_t lorac_rng_key(uint64_t seed, const char *name);

/* 4 x 32 random bits of draw (step, index). */
void lorac_rng_bits(uint32_t out[4], uint64_t key, uint64_t step, uint64_t index);

uint64_t lorac_rng_u64(uint64_t key, uint64_t step, uint64_t index);
double lorac_rng_uniform(uint64_t key, uint64_t step, uint64_t index);         // [0,1), 53 bits
double lorac_rng_normal(uint64_t key, uint64_t step, uint64_t index);          // N(0,1), Box-Muller
size_t lorac_rng_below(uint64_t key, uint64_t step, uint64_t index, size_t n); // 0..n-1, n >= 1

/* order (n) written: a random permutation of 0..n-1 (Fisher-Yates); `step` is the epoch. */
void lorac_rng_shuffle(uint32_t *order, size_t n, uint64_t key, uint64_t step);

#endif
