/* sha256.h - the SHA-256 hash (FIPS 180-4, section 6.2): names contents, protects nothing. */
#ifndef LORAC_BASE_CORE_SHA256_H
#define LORAC_BASE_CORE_SHA256_H

#include <stddef.h>
#include <stdint.h>

/* A hash being computed; a value, nothing to release. */
struct lorac_sha256 {
    uint32_t h[8];           // the hash of the whole blocks so far
    uint64_t n;              // bytes added, below 2^61
    unsigned char block[64]; // the n % 64 bytes that wait for their block to fill
};

void lorac_sha256_init(struct lorac_sha256 *s);
void lorac_sha256_add(struct lorac_sha256 *s, const void *bytes,
                      size_t n); // `bytes` NULL where n is 0
/* The hash of all that was added as 64 lower-case hexadecimal digits and NUL. `s` must be
 * initialised again before it is used again. */
void lorac_sha256_hex(char out[65], struct lorac_sha256 *s);

#endif
